"""A tenant's rate: what it may send at once, in the long run, and how long it has to wait."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.token_bucket import Rate, TokenBucket

RATE = Rate(per_s=10, burst=100)


def test_a_burst_passes_and_a_debt_is_waited_for() -> None:
    """100 saved, 130 sent: a debt of 30, which is 3 s; after them the next body passes."""
    bucket = TokenBucket(RATE.burst, now_s=0)

    bucket.charge(130)

    assert bucket.wait_s(RATE, now_s=0) == 3
    assert bucket.wait_s(RATE, now_s=2) == 1
    assert bucket.wait_s(RATE, now_s=3) == 0


def test_the_first_body_may_be_of_any_size_and_the_average_holds() -> None:
    """Free tier, and a body of 5,000,000 points: 83 minutes of silence, then bodies of a second.

    In the first two hours 7,210,000 are taken: 1,000 a second, and the burst.
    """
    rate = Rate(per_s=1_000, burst=10_000)
    bucket = TokenBucket(rate.burst, now_s=0)
    bucket.charge(5_000_000)
    taken, first_s = 5_000_000, None

    for now_s in range(7_201):
        if bucket.wait_s(rate, now_s) == 0:
            first_s = now_s if first_s is None else first_s
            bucket.charge(1_000)
            taken += 1_000

    assert first_s == 4_990
    assert taken == 1_000 * 7_200 + 10_000 + 1_000


def test_a_silence_saves_no_more_than_a_burst() -> None:
    bucket = TokenBucket(RATE.burst, now_s=0)

    assert bucket.wait_s(RATE, now_s=1e6) == 0
    bucket.charge(101)

    assert bucket.wait_s(RATE, now_s=1e6) == 0.1


def test_a_clock_that_goes_back_takes_nothing() -> None:
    bucket = TokenBucket(RATE.burst, now_s=100)
    bucket.charge(110)

    assert bucket.wait_s(RATE, now_s=50) == 1
    assert bucket.wait_s(RATE, now_s=51) == 0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 300)), min_size=1, max_size=50),
    st.integers(1, 4),
)
def test_what_is_taken_stays_within_the_bound(sent: list[tuple[int, int]], n_edges: int) -> None:
    """Over n edges: rate * time + burst + a body an edge, wherever the requests go."""
    edges = [TokenBucket(RATE.shared(n_edges).burst, 0) for _ in range(n_edges)]
    now_s, taken, largest = 0, 0, 0
    for at, (pause_s, n_samples) in enumerate(sent):
        now_s += pause_s
        edge = edges[at % n_edges]
        if edge.wait_s(RATE.shared(n_edges), now_s) == 0:
            edge.charge(n_samples)
            taken, largest = taken + n_samples, max(largest, n_samples)

        assert taken <= RATE.per_s * now_s + RATE.burst + n_edges * largest

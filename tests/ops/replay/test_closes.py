"""Closes that are held back say the same later, in fewer words."""

from hypothesis import given
from hypothesis import strategies as st

from ops.replay.closes import Closes
from pipeline.stretches import NO_STRETCHES
from pipeline.tenant_windows import NO_ROWS
from pipeline.windows import Close, Closed

FIVE, HOUR = 300_000, 3_600_000

closes = st.builds(
    lambda width, start, n, n_partitions: Close(
        width, start * width, (start + n) * width, n_partitions
    ),
    st.sampled_from([FIVE, HOUR]),
    st.integers(0, 6),
    st.integers(1, 4),
    st.sampled_from([0, 4]),
)


def closed(*said: Close, tenant: str = "t") -> Closed:
    return Closed(tenant, 30, 0, 60_000, 0, 0, NO_ROWS, NO_STRETCHES, said)


def windows(said: list[Close]) -> set[tuple[int, int, int]]:
    return {
        (one.width_ms, one.n_partitions, start)
        for one in said
        for start in range(one.from_ms, one.until_ms, one.width_ms)
    }


@given(st.lists(st.lists(closes, max_size=3), max_size=6))
def test_the_same_windows_are_closed_and_none_twice(said: list[list[Close]]) -> None:
    held = Closes()

    for some in said:
        rest = held.hold_back(0, closed(*some))
        assert rest.closes == ()
    joined = [one for _, taken in held.take() for one in taken.closes]

    assert windows(joined) == windows([one for some in said for one in some])
    assert sum((one.until_ms - one.from_ms) // one.width_ms for one in joined) == len(
        windows(joined)
    )
    assert held.take() == []


def test_twelve_of_five_minutes_are_one_of_an_hour_and_come_before_the_hour() -> None:
    held = Closes()
    for at in range(12):
        held.hold_back(3, closed(Close(FIVE, at * FIVE, (at + 1) * FIVE, 4)))
    held.hold_back(3, closed(Close(HOUR, 0, HOUR, 4)))
    held.hold_back(3, closed(Close(FIVE, 0, FIVE, 4), tenant="other"))

    one, other = held.take()

    assert one[0] == other[0] == 3
    assert one[1].closes == (Close(FIVE, 0, HOUR, 4), Close(HOUR, 0, HOUR, 4))
    assert (other[1].tenant, other[1].closes) == ("other", (Close(FIVE, 0, FIVE, 4),))

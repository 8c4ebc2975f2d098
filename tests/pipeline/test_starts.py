"""Zeros where counting is known to begin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.refold import refold
from pipeline.starts import DELTA_MS, Starts, Zeros

MINUTE_MS = 60_000
T0 = 1_700_000_040_000  # a full minute


def zeros(starts: Starts, samples: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Return (row, time) of the zeros of samples (series, time, start), and remember them."""
    found = plan(starts, samples)
    starts.remember(found)
    return list(zip(found.rows.tolist(), found.times_ms.tolist(), strict=True))


def plan(starts: Starts, samples: list[tuple[int, int, int]]) -> Zeros:
    ids, times, begins = zip(*samples, strict=True)
    columns = np.array(ids, dtype=np.uint64), np.array(times), np.array(begins)
    return starts.zeros_of(*columns, np.uint64(5))


def increase(times_ms: list[int], values: list[float], found: Zeros) -> dict[int, float]:
    """Return increase by window of a minute of one series with its zeros."""
    ids, times, numbers = found.insert_into(
        np.full(len(times_ms), 7, dtype=np.uint64), np.array(times_ms), np.array(values)
    )
    order = np.argsort(times, kind="stable")
    rows = refold(ids[order], times[order], numbers[order], MINUTE_MS, sketches=False).rows
    return dict(zip(rows["window_ms"].tolist(), rows["increase"].tolist(), strict=True))


def test_each_start_gives_one_zero() -> None:
    starts = Starts(1000)

    assert zeros(starts, [(1, T0, T0 - 10), (2, T0, T0 - 20), (1, T0 + 5, T0 - 10)]) == [
        (0, T0 - 10),
        (1, T0 - 20),
    ]
    assert zeros(starts, [(1, T0 + 15_000, T0 - 10), (2, T0 + 15_000, T0 + 9)]) == [(1, T0 + 9)]


def test_a_batch_that_was_not_stored_gives_its_zeros_again() -> None:
    starts = Starts(1000)

    first, again = (plan(starts, [(1, T0, T0 - 10)]) for _ in range(2))

    assert first.rows.tolist() == again.rows.tolist() == [0]


@pytest.mark.parametrize(
    ("time_ms", "start_ms"),
    [(T0, 0), (T0, -5), (T0, T0 - 300_001), (T0, T0 + 1), (0, 0)],
)
def test_what_is_no_recent_start_gives_none(time_ms: int, start_ms: int) -> None:
    """Not known, before 1970, longer ago than `increase` looks back, or after the sample."""
    assert zeros(Starts(1000), [(1, time_ms, start_ms)]) == []


def test_a_start_at_a_sample_is_that_sample() -> None:
    """A sender that does not know since when it counts begins so; its first value is the base."""
    starts = Starts(1000)

    assert zeros(starts, [(1, T0 + 15_000, T0), (1, T0, T0)]) == []
    assert zeros(starts, [(1, T0 + 30_000, T0)]) == []


def test_increase_sees_the_begin_and_a_restart_that_no_value_shows() -> None:
    """0 at :05, 10 at :30 | 25 at 1:10, restart 1:20, 40 at 1:40: 10 and 15 + 40."""
    times = [T0 + 30_000, T0 + 70_000, T0 + 100_000]
    begins = [T0 + 5_000, T0 + 5_000, T0 + 80_000]
    values = [10.0, 25.0, 40.0]

    found = plan(Starts(10), [(7, *one) for one in zip(times, begins, strict=True)])

    assert increase(times, values, found) == {T0: 10.0, T0 + MINUTE_MS: 55.0}


deltas = st.lists(st.tuples(st.integers(2, 400_000), st.integers(0, 1000)), min_size=1, max_size=20)


@given(deltas)
def test_increase_of_deltas_is_their_sum(steps: list[tuple[int, int]]) -> None:
    """Whatever the distance of the points: 2 ms, or more than `increase` looks back."""
    times = (T0 + np.cumsum([gap for gap, _ in steps])).tolist()
    values = [float(value) for _, value in steps]
    expected: dict[int, float] = {}
    for time, value in zip(times, values, strict=True):
        window = time // MINUTE_MS * MINUTE_MS
        expected[window] = expected.get(window, 0.0) + value

    found = increase(times, values, zeros_of_deltas(times))

    assert {window: found[window] for window in expected} == expected
    assert sum(found.values()) == sum(values)


def zeros_of_deltas(times_ms: list[int]) -> Zeros:
    return plan(Starts(10), [(7, time_ms, time_ms - DELTA_MS) for time_ms in times_ms])


def test_deltas_take_no_memory_and_have_their_zero_each_time() -> None:
    starts = Starts(1000)

    for _ in range(2):
        assert zeros(starts, [(1, T0, T0 - 1), (1, T0 + 500, T0 + 499)]) == [
            (0, T0 - 1),
            (1, T0 + 499),
        ]

    assert len(plan(starts, [(1, T0, T0 - 1)]).seen) == 0


def test_zeros_stand_before_their_samples() -> None:
    ids, times, values = zeros_of_deltas([10, 20]).insert_into(
        np.array([1, 2], dtype=np.uint64), np.array([10, 20]), np.array([1.0, 2.0])
    )

    assert ids.tolist() == [1, 1, 2, 2]
    assert times.tolist() == [9, 10, 19, 20]
    assert values.tolist() == [0.0, 1.0, 0.0, 2.0]

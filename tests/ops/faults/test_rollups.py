"""The campaign's reference for rollups agrees with the slow one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.faults.ledger import Samples, keep_last
from ops.faults.rollups import LEVELS, Rollups, rollups_of
from ops.faults.traffic import STALE, keys_of
from tests.reference import RollupRow, is_stale, quantile_reference, rollup_reference

MINUTE = 60_000
values = st.one_of(
    st.integers(-4000, 4000).map(lambda number: number / 8),
    st.sampled_from([float(STALE), math.nan, math.inf, 0.0]),
)
# Times that meet, that are 5 minutes apart to the millisecond, and any others.
times_ms = st.one_of(
    st.sampled_from([0, 1, 59_999, 60_000, 300_000, 300_001, 360_000]), st.integers(0, 4_000_000)
)
samples = st.lists(st.tuples(st.integers(0, 2), times_ms, values), max_size=40)


def columns_of(rows: list[tuple[int, int, float]]) -> Samples:
    series, times, found = zip(*rows, strict=True) if rows else ((), (), ())
    keys = keys_of(np.array(series, np.int32), np.array(times, np.int64))
    return keep_last(keys, np.array(found, np.float64))


def rows_of(rollups: Rollups) -> dict[tuple[int, int], RollupRow]:
    columns = [column.tolist() for column in rollups[:9]]
    return {(row[0], row[1]): row[2:] for row in zip(*columns, strict=True)}


def as_bits(row: RollupRow) -> tuple[str, ...]:
    """Return a row so that NaN equals NaN."""
    return tuple(str(value) for value in row)


@given(samples, st.sampled_from([10_000, MINUTE, 300_000, 3_600_000]))
def test_rollups_are_those_of_the_slow_reference(
    rows: list[tuple[int, int, float]], width_ms: int
) -> None:
    """All columns, of all series, with repeats, stale markers, gaps and NaN."""
    with np.errstate(invalid="ignore"):
        found = rows_of(rollups_of(columns_of(rows), width_ms))

    wanted = {}
    for series in range(3):
        mine = [(time_ms, value) for one, time_ms, value in rows if one == series]
        times, numbers = zip(*mine, strict=True) if mine else ((), ())
        for start_ms, row in rollup_reference(series, times, numbers, width_ms).items():
            wanted[series, start_ms] = row
    assert {key: as_bits(row) for key, row in found.items()} == {
        key: as_bits(row) for key, row in wanted.items()
    }


@given(st.lists(st.tuples(times_ms, st.integers(-50, 50).map(float)), min_size=1, max_size=40))
def test_quantiles_are_exact(rows: list[tuple[int, float]]) -> None:
    """The value of the lower rank, of each window."""
    kept = columns_of([(0, *row) for row in rows])

    found = rollups_of(kept, MINUTE)

    for at, start_ms in enumerate(found.start_ms.tolist()):
        inside = (kept.times_ms >= start_ms) & (kept.times_ms < start_ms + MINUTE)
        for name, level in LEVELS.items():
            exact = quantile_reference(kept.values[inside].tolist(), level)
            assert getattr(found, name)[at] == exact


@pytest.mark.parametrize(
    ("times", "numbers", "increase"),
    [
        ([0, 30_000], [1.0, 4.0], 3.0),
        ([0, 30_000], [4.0, 1.0], 1.0),  # a reset: counted from 0
        ([0, 10_000, 20_000], [1.0, float(STALE), 4.0], 0.0),  # the run ended
    ],
)
def test_an_increase_worked_by_hand(
    times: list[int], numbers: list[float], increase: float
) -> None:
    """One window of one series."""
    found = rollups_of(columns_of([(0, *row) for row in zip(times, numbers, strict=True)]), MINUTE)

    assert found.increase.tolist() == [increase]
    assert found.n_samples.tolist() == [sum(not is_stale(number) for number in numbers)]

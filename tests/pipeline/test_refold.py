"""Windows from stored samples, and coarser windows from finer ones, against the reference."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.coarsen import coarsen
from pipeline.refold import refold
from pipeline.rows import ROW, Rows
from pipeline.sketch import quantiles
from schemas.samples import STALE_MARKER_BITS
from tests.reference import is_stale, quantile_reference, rollup_reference

STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])
HOUR = 3_600_000
T0 = 1_800_000_000_000

values = st.one_of(
    st.integers(0, 50).map(float),
    st.sampled_from([STALE, math.nan, -1.5, 0.0, 1e300, 5e-324]),
    st.floats(-1e9, 1e9),
)
# Steps of a second to ten minutes over some hours: runs, and gaps on both sides of the 5 minutes.
gaps = st.one_of(st.integers(1_000, 30_000), st.integers(250_000, 600_000))
series = st.lists(st.tuples(gaps, values), min_size=0, max_size=60)

Samples = tuple[np.ndarray, np.ndarray, np.ndarray]


def lay_out(drawn: list[list[tuple[int, float]]]) -> Samples:
    """Return columns sorted by series and time."""
    ids, times, column = [], [], []
    for at, one in enumerate(drawn):
        time_ms = T0
        for gap_ms, value in one:
            time_ms += gap_ms
            ids.append(2**63 + at)
            times.append(time_ms)
            column.append(value)
    return np.array(ids, np.uint64), np.array(times, np.int64), np.array(column, np.float64)


def truth(samples: Samples, width_ms: int) -> dict[tuple[int, int], tuple[float, ...]]:
    ids, times, column = samples
    return {
        (int(key), start): row
        for key in np.unique(ids)
        for start, row in rollup_reference(
            int(key), times[ids == key].tolist(), column[ids == key].tolist(), width_ms
        ).items()
    }


def values_of(samples: Samples, row: np.void, width_ms: int) -> list[float]:
    ids, times, column = samples
    inside = (ids == row["series_id"]) & (times // width_ms * width_ms == row["window_ms"])
    return [value for value in column[inside].tolist() if not math.isnan(value)]


@settings(deadline=None)
@given(st.lists(series, max_size=3), st.sampled_from([10_000, 60_000, 300_000, HOUR]))
def test_windows_are_those_of_the_reference(
    drawn: list[list[tuple[int, float]]], width_ms: int
) -> None:
    samples = lay_out(drawn)

    found = refold(*samples, width_ms, sketches=True)

    expected = truth(samples, width_ms)
    keys = list(
        zip(found.rows["series_id"].tolist(), found.rows["window_ms"].tolist(), strict=True)
    )
    assert keys == sorted(expected)
    names = ("count", "sum", "min", "max", "first", "last", "increase")
    for key, row in zip(keys, found.rows, strict=True):
        got = np.array([float(row[name]) for name in names])
        np.testing.assert_allclose(got, expected[key], rtol=1e-12, atol=1e-300)
    ends = (found.rows["min"].copy(), found.rows["max"].copy())
    medians = quantiles(found.sketch_lengths, found.sketch, *ends, np.array([0.5]))
    for row, median in zip(found.rows, medians[:, 0], strict=True):
        numbers = values_of(samples, row, width_ms)
        exact = quantile_reference(numbers, 0.5) if numbers else math.nan
        np.testing.assert_allclose(median, exact, rtol=0.01 + 1e-9, atol=1e-323)


def test_stale_markers_are_no_samples_of_a_sketch() -> None:
    samples = lay_out([[(1000, 1.0), (1000, STALE), (1000, math.nan), (1000, 1.0)]])
    assert is_stale(samples[2][1])

    found = refold(*samples, 60_000, sketches=True)

    assert found.rows["count"].tolist() == [3]
    assert (found.sketch & 0x3FFF).tolist() == [2]


def test_without_sketches_there_are_none() -> None:
    found = refold(*lay_out([[(1000, 1.0)], [(1000, 2.0)]]), 60_000, sketches=False)

    assert found.rows["sum"].tolist() == [1.0, 2.0]
    assert (found.sketch_lengths.tolist(), len(found.sketch)) == ([0, 0], 0)


@settings(deadline=None)
@given(st.lists(series, max_size=3), st.sampled_from([(60_000, 300_000), (300_000, HOUR)]))
def test_coarsened_windows_are_those_of_the_samples(
    drawn: list[list[tuple[int, float]]], widths: tuple[int, int]
) -> None:
    """Additive columns add up, and merged sketches are equal to the last entry."""
    samples = lay_out(drawn)
    finer = refold(*samples, widths[0], sketches=True)

    got, wanted = coarsen(finer, widths[1]), refold(*samples, widths[1], sketches=True)

    for name in ("series_id", "window_ms", "count", "min", "max", "first", "last"):
        np.testing.assert_array_equal(got.rows[name], wanted.rows[name])
    for name in ("sum", "increase"):
        np.testing.assert_allclose(got.rows[name], wanted.rows[name], rtol=1e-9, atol=1e-3)
    assert got.sketch_lengths.tobytes() == wanted.sketch_lengths.tobytes()
    assert got.sketch.tobytes() == wanted.sketch.tobytes()


def rows(finer: list[tuple[int, int, float, list[int]]]) -> Rows:
    """Return rows of (window_ms, count, value, sketch) of one series."""
    made = np.zeros(len(finer), dtype=ROW)
    for at, (window_ms, count, value, _) in enumerate(finer):
        made[at] = (window_ms, 7, *[value] * 6, count, 0)
    lengths = np.array([len(sketch) for *_, sketch in finer], np.uint32)
    return Rows(made, lengths, np.array([e for *_, s in finer for e in s], np.uint32))


@pytest.mark.parametrize(
    ("finer", "count", "sketch"),
    [
        ([(0, 1, 1.0, [5]), (60_000, 2, 1.0, [])], 3, []),  # a minute without a sketch
        ([(0, 1, 1.0, [5]), (60_000, 2, math.nan, [])], 3, [5]),  # one without a number
        ([(0, 1, 1.0, [5]), (60_000, 0, 9.0, [7])], 1, [5]),  # one that was emptied later
    ],
)
def test_a_coarse_sketch_stands_for_all_numbers_or_is_none(
    finer: list[tuple[int, int, float, list[int]]], count: int, sketch: list[int]
) -> None:
    got = coarsen(rows(finer), 300_000)

    assert got.rows["count"].tolist() == [count]
    assert got.sketch.tolist() == sketch
    assert got.sketch_lengths.tolist() == [len(sketch)]


def test_emptied_windows_make_no_coarser_one() -> None:
    assert len(coarsen(rows([(0, 0, 0.0, [])]), 300_000)) == 0
    assert len(coarsen(rows([]), 300_000)) == 0


def test_rows_are_cut_and_chosen_with_their_sketches() -> None:
    three = rows([(0, 1, 1.0, [5]), (60_000, 1, 2.0, []), (120_000, 1, 3.0, [6, 7])])

    chosen, end = three.where(np.array([True, False, True])), three.cut(1, 3)

    assert (chosen.sketch.tolist(), chosen.sketch_lengths.tolist()) == ([5, 6, 7], [1, 2])
    assert (end.sketch.tolist(), end.rows["sum"].tolist()) == ([6, 7], [2.0, 3.0])

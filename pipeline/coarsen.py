"""Coarser windows from finer rows: what adds up is added, sketches are merged."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.rows import ROW, Rows
from pipeline.sketch import Integer, normalize
from pipeline.slots import floor


def coarsen(finer: Rows, width_ms: int) -> Rows:
    """Return the windows of width_ms that the finer rows are in, in their order.

    finer: sorted by series and window; width_ms is a multiple of their width. Rows of count 0
    count for nothing. A window has a sketch if each finer row that holds a number has one.
    """
    window_ms = finer.rows["window_ms"] // width_ms
    ids = finer.rows["series_id"]
    changes = (ids[1:] != ids[:-1]) | (window_ms[1:] != window_ms[:-1])
    rows = np.zeros(len(finer) and 1 + int(changes.sum()), dtype=ROW)
    lengths = np.zeros(len(rows), dtype=np.uint32)
    sketch = np.empty(len(finer.sketch), dtype=np.uint32)
    n_rows, n_entries = _coarsen(
        np.ascontiguousarray(finer.rows),
        np.ascontiguousarray(finer.sketch_lengths),
        np.ascontiguousarray(finer.sketch),
        width_ms,
        rows,
        lengths,
        sketch,
    )
    return Rows(rows[:n_rows], lengths[:n_rows], sketch[:n_entries])


@njit(cache=True)
def _coarsen(
    finer: Any,
    finer_lengths: NDArray[np.uint32],
    finer_sketch: NDArray[np.uint32],
    width_ms: int,
    rows: Any,
    lengths: NDArray[np.uint32],
    sketch: NDArray[np.uint32],
) -> tuple[int, int]:
    """Fill rows, lengths and sketch; return the number of rows and of entries."""
    n_rows = 0
    read: Integer = 0
    begin: Integer = 0
    end: Integer = 0
    has_sketch: Any = True
    for i in range(len(finer)):
        one = finer[i]
        n_entries = np.int64(finer_lengths[i])
        window_ms = floor(one.window_ms, width_ms)
        read += n_entries
        if one.count == 0:
            continue
        last = rows[max(n_rows - 1, 0)]
        if n_rows == 0 or last.series_id != one.series_id or last.window_ms != window_ms:
            if n_rows:
                begin = end = _end_sketch(lengths, n_rows - 1, sketch, begin, end, has_sketch)
            _begin_row(rows[n_rows], one, window_ms)
            has_sketch = True
            n_rows += 1
        else:
            _add_row(last, one)
        has_sketch = has_sketch and (n_entries > 0 or np.isnan(one.min))
        sketch[end : end + n_entries] = finer_sketch[read - n_entries : read]
        end += n_entries
    if n_rows:
        begin = _end_sketch(lengths, n_rows - 1, sketch, begin, end, has_sketch)
    return n_rows, begin


@njit(inline="always")
def _begin_row(row: Any, finer: Any, window_ms: int) -> None:
    row.window_ms = window_ms
    row.series_id = finer.series_id
    row.sum = finer.sum
    row.min = finer.min
    row.max = finer.max
    row.first = finer.first
    row.last = finer.last
    row.increase = finer.increase
    row.count = finer.count


@njit(inline="always")
def _add_row(row: Any, finer: Any) -> None:
    row.count += finer.count
    row.sum += finer.sum
    row.increase += finer.increase
    row.last = finer.last
    # Written so that a NaN never replaces a number, and a number always a NaN.
    if not row.min <= finer.min and finer.min == finer.min:
        row.min = finer.min
    if not row.max >= finer.max and finer.max == finer.max:
        row.max = finer.max


@njit(cache=True)
def _end_sketch(
    lengths: NDArray[np.uint32],
    row: int,
    sketch: NDArray[np.uint32],
    begin: Integer,
    end: Integer,
    has_sketch: bool,  # noqa: FBT001 - compiled code has no keywords
) -> Integer:
    """Bring the entries of a finished row into form; return where those of the next begin."""
    n = normalize(sketch[begin:end]) if has_sketch else 0
    lengths[row] = n
    return begin + n

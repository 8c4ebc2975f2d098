"""Windows computed again from stored samples, by the arithmetic that streams them."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.rows import ROW, Rows
from pipeline.sketch import Integer, entry_of, normalize
from pipeline.slots import NO_WINDOW, SLOT, add, begin_slot, floor, move, note, open_window
from schemas.samples import STALE_MARKER_BITS


def refold(
    series_ids: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    width_ms: int,
    *,
    sketches: bool,
) -> Rows:
    """Return all windows of the samples, by series and time, as the window engine gives them.

    series_ids, times_ms, values: shape (n,), sorted by series and time, each pair once. A row is
    exact if the samples reach back 5 minutes before its window.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    window_ms = times_ms // width_ms
    n_rows = len(values) and 1 + int(
        ((series_ids[1:] != series_ids[:-1]) | (window_ms[1:] != window_ms[:-1])).sum()
    )
    rows = np.zeros(n_rows, dtype=ROW)
    lengths = np.zeros(n_rows, dtype=np.uint32)
    sketch = np.empty(len(values) if sketches else 0, dtype=np.uint32)
    n_rows, n_entries = _refold(
        np.ascontiguousarray(series_ids, dtype=np.uint64),
        np.ascontiguousarray(times_ms, dtype=np.int64),
        values.view(np.uint64),
        values,
        width_ms,
        np.zeros(1, dtype=SLOT),
        rows,
        lengths,
        sketch,
    )
    return Rows(rows[:n_rows], lengths[:n_rows], sketch[:n_entries])


@njit(cache=True)
def _refold(
    series_ids: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    values: NDArray[np.float64],
    width_ms: int,
    slots: Any,
    rows: Any,
    lengths: NDArray[np.uint32],
    sketch: NDArray[np.uint32],
) -> tuple[int, int]:
    """Fold series after series through one slot; return the number of rows and of entries."""
    slot = slots[0]
    n_rows = 0
    begin: Integer = 0
    end: Integer = 0
    for i in range(len(series_ids)):
        window_ms = floor(times_ms[i], width_ms)
        is_stale = value_bits[i] == STALE_MARKER_BITS
        is_new = i == 0 or series_ids[i] != series_ids[i - 1]
        if i > 0 and slot.window_ms != NO_WINDOW and (is_new or slot.window_ms != window_ms):
            move(slot, rows[n_rows])
            lengths[n_rows] = normalize(sketch[begin:end])
            begin += np.int64(lengths[n_rows])
            end = begin
            n_rows += 1
        if is_new:
            begin_slot(slot, series_ids[i])
        if not is_stale:
            if slot.window_ms == NO_WINDOW:
                open_window(slot, window_ms)
            add(slot, times_ms[i], values[i])
            if len(sketch) and not np.isnan(values[i]):
                sketch[end] = entry_of(values[i])
                end += 1
        note(slot, times_ms[i], values[i], is_stale)
    if len(series_ids) and slot.window_ms != NO_WINDOW:
        move(slot, rows[n_rows])
        lengths[n_rows] = normalize(sketch[begin:end])
        begin += np.int64(lengths[n_rows])
        n_rows += 1
    return n_rows, begin

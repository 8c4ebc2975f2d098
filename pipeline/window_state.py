"""The compiled fold of samples into slots, and the windows that leave them when they close."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.arena import HEAD_WORDS, add_value, clear
from pipeline.slots import (
    LOOKBACK_MS,
    NO_WINDOW,
    NOVICE,
    add,
    begin_slot,
    floor,
    move,
    note,
    open_window,
)
from schemas.samples import STALE_MARKER_BITS

# Samples whose slots are found before the first of them is folded: enough to keep memory busy,
# few enough that their slots are still in the nearest cache then.
STRIDE = 64


@njit(cache=True)
def index_slots(index: NDArray[np.int32], slots: Any, n_slots: int) -> None:
    """Enter the first n_slots slots into an index of -1s, whose length is a power of two."""
    mask = np.uint64(len(index) - 1)
    for slot in range(n_slots):
        at = slots[slot].series_id & mask
        while index[at] >= 0:
            at = (at + np.uint64(1)) & mask
        index[at] = slot


@njit(inline="always")
def _find_slots(
    index: NDArray[np.int32],
    slots: Any,
    n_slots: int,
    series_ids: NDArray[np.uint64],
    first: int,
    last: int,
    found: NDArray[np.int32],
) -> int:
    """Find the slots of samples first to last, made for new series; return the number of slots.

    Apart from the fold, because look-ups that wait for nothing but memory run side by side.
    """
    mask = np.uint64(len(index) - 1)
    for i in range(first, last):
        series_id = series_ids[i]
        at = series_id & mask
        while index[at] >= 0 and slots[index[at]].series_id != series_id:
            at = (at + np.uint64(1)) & mask
        if index[at] < 0:
            index[at] = n_slots
            begin_slot(slots[n_slots], series_id)
            n_slots += 1
        found[i - first] = index[at]
    return n_slots


@njit(inline="always")
def _move_sketch(head: NDArray[np.uint32], row_head: NDArray[np.uint32]) -> None:
    for at in range(HEAD_WORDS):
        row_head[at] = head[at]
    clear(head)


@njit(inline="always")
def _leave(
    slots: Any,
    at: int,
    novice_until_ms: int,
    rows: Any,
    n_rows: int,
    heads: NDArray[np.uint32],
    row_heads: NDArray[np.uint32],
) -> int:
    """Move a slot's window into a row, if it has one; return the number of rows after that."""
    slot = slots[at]
    if slot.window_ms == NO_WINDOW:
        return n_rows
    is_partial = (slot.state & NOVICE) != 0 and slot.window_ms < novice_until_ms
    move(slot, rows[n_rows])
    if is_partial:
        rows[n_rows].is_partial = 1
    if len(heads) > 0:
        _move_sketch(heads[at], row_heads[n_rows])
    return n_rows + 1


@njit(cache=True)
def fold(
    series_ids: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    values: NDArray[np.float64],
    first: int,
    width_ms: int,
    closed_until_ms: int,
    novice_until_ms: int,
    index: NDArray[np.int32],
    slots: Any,
    n_slots: int,
    rows: Any,
    n_rows: int,
    heads: NDArray[np.uint32],
    row_heads: NDArray[np.uint32],
    chunks: NDArray[np.uint32],
    free: NDArray[np.int64],
    stretches: Any,
    n_stretches: int,
) -> tuple[int, int, int, int]:
    """Fold samples from the first one on, in order of arrival, into the slots.

    Returns the next sample, n_slots, n_rows and n_stretches; it ends early when slots, rows,
    stretches or the arena of the sketches are full. heads has no rows where sketches are off.

    A sample newer than all of its series before goes into its window. Any other, and any in
    a closed window, changes nothing but `newest` and is noted as a stretch of windows to
    compute again: its own, and those of the samples up to 5 minutes later, whose `increase`
    may start from it (of a closed window's later samples nothing is known any more, so all
    5 minutes).
    """
    has_sketches = len(heads) > 0
    found = np.empty(STRIDE, dtype=np.int32)
    # The window of the sample before is mostly the next one's, too; a division takes long.
    window_ms = int(NO_WINDOW)
    for i in range(first, len(series_ids)):
        is_full = n_rows == len(rows) or n_stretches == len(stretches)
        if is_full or (has_sketches and free[1] == 0):
            return i, n_slots, n_rows, n_stretches
        of_stride = (i - first) % STRIDE
        if of_stride == 0:
            last = min(i + STRIDE, len(series_ids))
            if n_slots + STRIDE > len(slots):
                return i, n_slots, n_rows, n_stretches
            n_slots = _find_slots(index, slots, n_slots, series_ids, i, last, found)
        at = found[of_stride]
        slot = slots[at]
        time_ms = times_ms[i]
        if not window_ms <= time_ms < window_ms + width_ms:
            window_ms = floor(time_ms, width_ms)
        if slot.newest_ms == NO_WINDOW and window_ms < novice_until_ms:
            slot.state |= NOVICE
        is_stale = value_bits[i] == STALE_MARKER_BITS
        in_order = time_ms > slot.newest_ms
        # The end of a series that was never seen here: the store may know samples of its window.
        ends_unknown = is_stale and slot.newest_ms == NO_WINDOW
        if not in_order or window_ms < closed_until_ms or ends_unknown:
            stretch = stretches[n_stretches]
            stretch.series_id = series_ids[i]
            stretch.first_ms = window_ms
            reach_ms = time_ms + LOOKBACK_MS
            if window_ms >= closed_until_ms:
                reach_ms = min(reach_ms, slot.newest_ms)
            stretch.last_ms = max(window_ms, floor(reach_ms, width_ms))
            n_stretches += 1
        elif not is_stale:
            if slot.window_ms != window_ms:
                n_rows = _leave(slots, at, novice_until_ms, rows, n_rows, heads, row_heads)
                open_window(slot, window_ms)
            add(slot, time_ms, values[i])
            if has_sketches and not np.isnan(values[i]):
                add_value(heads[at], chunks, free, values[i])
        if time_ms >= slot.newest_ms:
            # In the place of a stale marker beyond the window, whose last value this is not.
            if slot.window_ms < window_ms and not is_stale:
                n_rows = _leave(slots, at, novice_until_ms, rows, n_rows, heads, row_heads)
            note(slot, time_ms, values[i], is_stale)
    return len(series_ids), n_slots, n_rows, n_stretches


@njit(cache=True)
def count_closed(slots: Any, n_slots: int, rows: Any, n_rows: int, closed_until_ms: int) -> int:
    """Return how many windows, pending or in a slot, start before closed_until_ms."""
    n = 0
    for at in range(n_rows):
        n += rows[at].window_ms < closed_until_ms
    for at in range(n_slots):
        n += slots[at].window_ms != NO_WINDOW and slots[at].window_ms < closed_until_ms
    return n


@njit(cache=True)
def take_closed(
    slots: Any,
    n_slots: int,
    rows: Any,
    n_rows: int,
    closed_until_ms: int,
    novice_until_ms: int,
    heads: NDArray[np.uint32],
    row_heads: NDArray[np.uint32],
    closed: Any,
    closed_heads: NDArray[np.uint32],
) -> int:
    """Move the windows that start before closed_until_ms into closed; return the rows left.

    closed has room for as many as `count_closed` says.
    """
    n_left, n = 0, 0
    for at in range(n_rows):
        if rows[at].window_ms < closed_until_ms:
            closed[n] = rows[at]
            if len(heads):
                _move_sketch(row_heads[at], closed_heads[n])
            n += 1
        else:
            if n_left != at:
                rows[n_left] = rows[at]
                if len(heads):
                    _move_sketch(row_heads[at], row_heads[n_left])
            n_left += 1
    for at in range(n_slots):
        slot = slots[at]
        if slot.window_ms != NO_WINDOW and slot.window_ms < closed_until_ms:
            n = _leave(slots, at, novice_until_ms, closed, n, heads, closed_heads)
    return n_left

"""A slot: what the window engine remembers of one series, and how a sample changes it, compiled."""

from typing import Any

import numpy as np
from numba import njit

# A predecessor older than this adds nothing to `increase`.
LOOKBACK_MS = 300_000

NO_WINDOW = np.int64(-(1 << 62))

# One element of an array of the types below; inside compiled code its fields are attributes.
Record = Any

# A series: its newest sample, and the window that this sample is in. One array of records, not
# one array a field: a sample then touches two cache lines, not ten.
SLOT = np.dtype(
    [
        ("series_id", "<u8"),
        ("newest_ms", "<i8"),
        ("newest", "<f8"),  # newest value that is no stale marker
        ("window_ms", "<i8"),  # start of the open window, or NO_WINDOW
        ("sum", "<f8"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("first", "<f8"),
        ("increase", "<f8"),
        ("count", "<u4"),
        ("state", "<u4"),  # bits RUNNING and NOVICE
    ]
)

RUNNING = np.uint32(1)  # neither after a stale marker nor before the first sample
NOVICE = np.uint32(2)  # began when other series had been evicted, of which it may be one


@njit(inline="always")
def begin_slot(slot: Record, series_id: np.uint64) -> None:
    """Make a slot that of a series without samples."""
    slot.series_id = series_id
    slot.newest_ms = NO_WINDOW
    slot.window_ms = NO_WINDOW
    slot.state = 0


@njit(inline="always")
def floor(time_ms: int, width_ms: int) -> int:
    """Return the start of the window that holds a time."""
    # Python's floor: a time before 1970 belongs to the window on its left.
    return time_ms // width_ms * width_ms


@njit(inline="always")
def open_window(slot: Record, window_ms: int) -> None:
    """Give a slot an empty window."""
    slot.window_ms = window_ms
    slot.count = 0
    slot.sum = 0.0
    slot.increase = 0.0
    slot.min = np.nan
    slot.max = np.nan


@njit(inline="always")
def move(slot: Record, row: Record) -> None:
    """Copy a slot's window into a row and leave the slot without a window."""
    row.window_ms = slot.window_ms
    row.series_id = slot.series_id
    row.count = slot.count
    row.sum = slot.sum
    row.min = slot.min
    row.max = slot.max
    row.first = slot.first
    row.last = slot.newest
    row.increase = slot.increase
    row.is_partial = 0
    slot.window_ms = NO_WINDOW


@njit(inline="always")
def add(slot: Record, time_ms: int, value: float) -> None:
    """Add a sample that is newer than all of its series to the slot's window."""
    if slot.count == 0:
        slot.first = value
    slot.count += 1
    slot.sum += value
    # Written so that a NaN never replaces a number, and a number always a NaN.
    if not slot.min <= value and value == value:  # noqa: PLR0124 - value is not NaN
        slot.min = value
    if not slot.max >= value and value == value:  # noqa: PLR0124
        slot.max = value
    if (slot.state & RUNNING) != 0 and time_ms - slot.newest_ms <= LOOKBACK_MS:
        slot.increase += value - slot.newest if value >= slot.newest else value


@njit(inline="always")
def note(slot: Record, time_ms: int, value: float, is_stale: bool) -> None:  # noqa: FBT001
    """Remember the newest sample of a series."""
    slot.newest_ms = time_ms
    if is_stale:
        slot.state &= ~RUNNING
    else:
        slot.state |= RUNNING
        slot.newest = value

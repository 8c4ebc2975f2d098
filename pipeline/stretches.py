"""Stretches: runs of a series' windows that must be computed again from the stored samples."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Windows of a series from first_ms through last_ms, both starts of windows.
STRETCH = np.dtype([("series_id", "<u8"), ("first_ms", "<i8"), ("last_ms", "<i8")])
NO_STRETCHES = np.zeros(0, dtype=STRETCH)


def stretches_of(
    series_ids: NDArray[np.uint64], first_ms: NDArray[np.int64], last_ms: NDArray[np.int64]
) -> NDArray[np.void]:
    """Return columns as stretches."""
    made = np.empty(len(series_ids), dtype=STRETCH)
    made["series_id"], made["first_ms"], made["last_ms"] = series_ids, first_ms, last_ms
    return made


def merge(stretches: NDArray[np.void], width_ms: int) -> NDArray[np.void]:
    """Return them by series and time, those of a series that overlap or touch made one."""
    order = np.lexsort((stretches["first_ms"], stretches["series_id"]))
    ordered = stretches[order]
    return ordered[: _merge(ordered, width_ms)]


def split_at(
    stretches: NDArray[np.void], time_ms: int, width_ms: int
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return what starts before a window's start, and the rest; one on both sides is cut."""
    before = stretches[stretches["first_ms"] < time_ms]
    before["last_ms"] = np.minimum(before["last_ms"], time_ms - width_ms)
    after = stretches[stretches["last_ms"] >= time_ms]
    after["first_ms"] = np.maximum(after["first_ms"], time_ms)
    return before, after


def split_every(stretches: NDArray[np.void], period_ms: int, width_ms: int) -> NDArray[np.void]:
    """Cut stretches so that none goes over a multiple of the period."""
    periods = stretches["first_ms"] // period_ms
    counts = stretches["last_ms"] // period_ms - periods + 1
    if not (counts > 1).any():
        return stretches
    cut = np.repeat(stretches, counts)
    steps = np.arange(len(cut)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts_ms = (np.repeat(periods, counts) + steps) * period_ms
    cut["first_ms"] = np.maximum(cut["first_ms"], starts_ms)
    cut["last_ms"] = np.minimum(cut["last_ms"], starts_ms + period_ms - width_ms)
    return cut


def coarser(
    stretches: NDArray[np.void], closed_until_ms: NDArray[np.int64], width_ms: int
) -> NDArray[np.void]:
    """Return the closed windows of a coarser width that hold one of the stretches', merged.

    closed_until_ms: shape (n,), for each stretch: what ends after it is left out.
    """
    first_ms = stretches["first_ms"] // width_ms * width_ms
    after_ms = stretches["last_ms"] // width_ms * width_ms + width_ms
    last_ms = np.minimum(after_ms, closed_until_ms // width_ms * width_ms) - width_ms
    made = stretches_of(stretches["series_id"], first_ms, last_ms)
    return merge(made[first_ms <= last_ms], width_ms)


def covered(
    stretches: NDArray[np.void], series_ids: NDArray[np.uint64], window_ms: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each window is in one of the stretches, shape (n,).

    stretches: merged. series_ids, window_ms: starts of windows, sorted by both.
    """
    found = np.zeros(len(series_ids), dtype=np.bool_)
    _cover(stretches, np.ascontiguousarray(series_ids), np.ascontiguousarray(window_ms), found)
    return found


@njit(cache=True)
def _merge(stretches: Any, width_ms: int) -> int:
    """Merge sorted stretches in place; return how many are left, at the beginning."""
    n = 0
    for at in range(len(stretches)):
        one = stretches[at]
        if n and stretches[n - 1].series_id == one.series_id:
            before = stretches[n - 1]
            if one.first_ms <= before.last_ms + width_ms:
                before.last_ms = max(before.last_ms, one.last_ms)
                continue
        stretches[n].series_id = one.series_id
        stretches[n].first_ms = one.first_ms
        stretches[n].last_ms = one.last_ms
        n += 1
    return n


@njit(cache=True)
def _cover(
    stretches: Any,
    series_ids: NDArray[np.uint64],
    window_ms: NDArray[np.int64],
    found: NDArray[np.bool_],
) -> None:
    """Walk both sorted sides at once."""
    at = 0
    for i in range(len(series_ids)):
        while at < len(stretches) and (
            stretches[at].series_id < series_ids[i]
            or (stretches[at].series_id == series_ids[i] and stretches[at].last_ms < window_ms[i])
        ):
            at += 1
        if at == len(stretches):
            return
        one = stretches[at]
        found[i] = one.series_id == series_ids[i] and one.first_ms <= window_ms[i]

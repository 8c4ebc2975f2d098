"""Which series have been announced, in bounded memory: a compiled hash set of series ids."""

import threading

import numpy as np
from numba import njit
from numpy.typing import NDArray

ANNOUNCE_EVERY_MS = 3_600_000
_LEAST_CAPACITY = 1 << 12
_ABSENT = np.int32(-1)


class KnownSeries:
    """Series ids with the hour of their last announcement, 12 bytes a slot.

    Every series counts as unknown again once an hour, so that its `last_seen` stays true;
    the hour begins at another minute for each series, so that they do not all come at once.

    There are two generations of at most max_series each. When the young one is full it becomes
    the old one, and what that one held is forgotten; a series that is met again moves to the
    young one. So only series are forgotten that stayed away while max_series others came.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        # Large bodies are read in threads beside the event loop, which adds.
        self._lock = threading.Lock()
        self._young = _Generation()
        self._old = _Generation()

    def __len__(self) -> int:
        """How many are remembered; one that has moved counts twice until its old place goes."""
        return self._young.n + self._old.n

    def n_bytes(self) -> int:
        """Return the memory of both generations."""
        return self._young.n_bytes() + self._old.n_bytes()

    def unknown(self, series_ids: NDArray[np.uint64], now_ms: int) -> NDArray[np.bool_]:
        """Return which of the series, shape (n,), have to be announced at this time."""
        with self._lock:
            unknown = self._young.unknown(series_ids, now_ms)
            if self._old.n and unknown.any():
                missing = series_ids[unknown]
                unknown[unknown] = self._old.unknown(missing, now_ms)
                self._move(missing)
            return unknown

    def add(self, series_ids: NDArray[np.uint64], now_ms: int) -> None:
        """Remember series, shape (n,), as announced at now_ms."""
        with self._lock:
            self._add(series_ids, _hours_of(series_ids, now_ms))

    def _move(self, series_ids: NDArray[np.uint64]) -> None:
        """Move those of the series that only the old generation holds into the young one."""
        missing = series_ids[self._young.hours_of(series_ids) == _ABSENT]
        hours = self._old.hours_of(missing)
        is_old = hours != _ABSENT
        if is_old.any():
            self._add(missing[is_old], hours[is_old])

    def _add(self, series_ids: NDArray[np.uint64], hours: NDArray[np.int32]) -> None:
        if self._young.n and self._young.n + len(series_ids) > self._max_series:
            self._old, self._young = self._young, _Generation()
        self._young.add(series_ids, hours)


class _Generation:
    """A hash set of ids with an hour each, at most half full."""

    def __init__(self) -> None:
        self.n = 0
        self._ids = np.zeros(_LEAST_CAPACITY, dtype=np.uint64)
        self._hours = np.zeros(_LEAST_CAPACITY, dtype=np.int32)

    def n_bytes(self) -> int:
        return self._ids.nbytes + self._hours.nbytes

    def unknown(self, series_ids: NDArray[np.uint64], now_ms: int) -> NDArray[np.bool_]:
        return _unknown(self._ids, self._hours, series_ids, now_ms)

    def hours_of(self, series_ids: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the hour of each series, _ABSENT where it is not held."""
        return _find_hours(self._ids, self._hours, series_ids)

    def add(self, series_ids: NDArray[np.uint64], hours: NDArray[np.int32]) -> None:
        needed = 2 * (self.n + len(series_ids))
        if needed > len(self._ids):
            self._grow(1 << int(needed - 1).bit_length())
        self.n += _add(self._ids, self._hours, series_ids, hours)

    def _grow(self, capacity: int) -> None:
        occupied = self._ids != 0
        ids, hours = self._ids[occupied], self._hours[occupied]
        self._ids = np.zeros(capacity, dtype=np.uint64)
        self._hours = np.zeros(capacity, dtype=np.int32)
        _add(self._ids, self._hours, ids, hours)


@njit(inline="always")
def _hour_of(series_id: np.uint64, now_ms: int) -> np.int32:
    shift_ms = np.int64(series_id % np.uint64(ANNOUNCE_EVERY_MS))
    return np.int32((now_ms + shift_ms) // ANNOUNCE_EVERY_MS)


@njit(cache=True)
def _hours_of(series_ids: NDArray[np.uint64], now_ms: int) -> NDArray[np.int32]:
    hours = np.empty(len(series_ids), dtype=np.int32)
    for i in range(len(series_ids)):
        hours[i] = _hour_of(series_ids[i], now_ms)
    return hours


@njit(inline="always")
def slot_of(ids: NDArray[np.uint64], series_id: np.uint64) -> np.int64:
    """Return the slot that holds the id, or the empty one where it belongs."""
    mask = np.uint64(len(ids) - 1)
    slot = series_id & mask
    while ids[slot] != series_id and ids[slot] != np.uint64(0):
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True)
def _unknown(
    ids: NDArray[np.uint64],
    hours: NDArray[np.int32],
    series_ids: NDArray[np.uint64],
    now_ms: int,
) -> NDArray[np.bool_]:
    unknown = np.empty(len(series_ids), dtype=np.bool_)
    for i in range(len(series_ids)):
        slot = slot_of(ids, series_ids[i])
        known = ids[slot] == series_ids[i] and hours[slot] >= _hour_of(series_ids[i], now_ms)
        unknown[i] = not known
    return unknown


@njit(cache=True)
def _find_hours(
    ids: NDArray[np.uint64], hours: NDArray[np.int32], series_ids: NDArray[np.uint64]
) -> NDArray[np.int32]:
    found = np.empty(len(series_ids), dtype=np.int32)
    for i in range(len(series_ids)):
        slot = slot_of(ids, series_ids[i])
        found[i] = hours[slot] if ids[slot] == series_ids[i] else _ABSENT
    return found


@njit(cache=True)
def _add(
    ids: NDArray[np.uint64],
    hours: NDArray[np.int32],
    series_ids: NDArray[np.uint64],
    announced: NDArray[np.int32],
) -> int:
    """Add the ids and return how many were new; the table has room for all of them."""
    n_new = 0
    for i in range(len(series_ids)):
        slot = slot_of(ids, series_ids[i])
        n_new += ids[slot] == np.uint64(0)
        ids[slot] = series_ids[i]
        hours[slot] = announced[i]
    return n_new

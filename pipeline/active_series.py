"""How many series of each tenant are active, and which of more may begin: compiled, one table.

A series counts as active for WINDOW_MIN minutes after an announcement. Active ones are announced
every hour, so who sees all announcements counts exactly.
"""

import threading

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import tenant_hash
from pipeline.known_series import slot_of
from pipeline.salt import salted

# An hour between two announcements, and the time to the next sample after it.
WINDOW_MIN = 65
_RING = 128  # minutes, a power of two above the window
_LEAST_SLOTS = 1 << 12
_NO_LIMIT = np.iinfo(np.int64).max


class ActiveSeries:
    """Series ids of all tenants with the minute of their last announcement, 12 bytes a slot.

    There are at most max_series; further ones are let pass without being counted.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        # Large bodies are read in threads beside the event loop.
        self._lock = threading.Lock()
        self._tenants: dict[str, int] = {}
        self._slots = _Slots(_LEAST_SLOTS)
        # By tenant and minute: how many series were announced last then, and how many were new.
        self._announced = np.zeros((16, _RING), dtype=np.int64)
        self._begun = np.zeros((16, _RING), dtype=np.int64)
        self._minute = 0

    def n_bytes(self) -> int:
        """Return the memory of the table and of the counts."""
        return self._slots.n_bytes() + self._announced.nbytes + self._begun.nbytes

    def count(self, tenant: str, minute: int) -> int:
        """Return how many series of a tenant are active at this minute since the epoch."""
        return self._sum(self._announced, tenant, minute, WINDOW_MIN)

    def count_begun(self, tenant: str, minute: int) -> int:
        """Return how many series of a tenant were new in the hour before."""
        return self._sum(self._begun, tenant, minute, 60)

    def admit(
        self,
        tenant: str,
        series_ids: NDArray[np.uint64],
        minute: int,
        most_active: int | None = None,
        most_begun: int | None = None,
    ) -> NDArray[np.bool_]:
        """Return which of the series, shape (n,), may be announced; those then count as active.

        Active ones always may. minute: since the epoch. most_active, most_begun: how many may be
        active, and new within an hour; None: as many as come.
        """
        keys = salted(series_ids, tenant_hash(tenant))
        with self._lock:
            room = _room(most_active, self._count(self._announced, tenant, minute, WINDOW_MIN))
            room = min(room, _room(most_begun, self._count(self._begun, tenant, minute, 60)))
            return self._add(tenant, keys, minute, room, is_new=1)

    def counts(self, minute: int) -> dict[str, int]:
        """Return how many series each tenant has active; 0 for one that had some before."""
        with self._lock:
            self._move_to(minute)
            minutes = np.arange(self._minute - WINDOW_MIN + 1, self._minute + 1) % _RING
            of_row = self._announced[:, minutes].sum(axis=1)
            return dict(zip(self._tenants, of_row.tolist(), strict=False))

    def note(
        self, tenant: str, series_ids: NDArray[np.uint64], minute: int, *, is_new: bool = False
    ) -> None:
        """Count series that were announced, perhaps by another edge, perhaps a while ago.

        is_new: whether those that are not active have just begun.
        """
        keys = salted(series_ids, tenant_hash(tenant))
        with self._lock:
            self._move_to(minute)
            if minute > self._minute - WINDOW_MIN:
                self._add(tenant, keys, minute, _NO_LIMIT, int(is_new))

    def _sum(self, counts: NDArray[np.int64], tenant: str, minute: int, n_minutes: int) -> int:
        with self._lock:
            return self._count(counts, tenant, minute, n_minutes)

    def _count(self, counts: NDArray[np.int64], tenant: str, minute: int, n_minutes: int) -> int:
        self._move_to(minute)
        row = self._tenants.get(tenant)
        if row is None:
            return 0
        minutes = np.arange(self._minute - n_minutes + 1, self._minute + 1) % _RING
        return int(counts[row, minutes].sum())

    def _move_to(self, minute: int) -> None:
        """Forget what was counted in the places of the minutes that have passed."""
        if minute > self._minute:
            passed = np.arange(max(self._minute + 1, minute - _RING + 1), minute + 1) % _RING
            self._announced[:, passed] = 0
            self._begun[:, passed] = 0
            self._minute = minute

    def _add(
        self, tenant: str, keys: NDArray[np.uint64], minute: int, room: int, is_new: int
    ) -> NDArray[np.bool_]:
        row = self._row_of(tenant)
        if 2 * (self._slots.n + len(keys)) > len(self._slots.ids):
            self._slots = self._slots.rebuilt(self._minute - WINDOW_MIN, len(keys))
        # A clock that went back a little: the minutes before are still counted.
        minute = min(minute, self._minute)
        oldest = self._minute - WINDOW_MIN
        slots = self._slots
        allowed, n_added = _admit(
            slots.ids,
            slots.minutes,
            keys,
            (minute, oldest, room, self._max_series - slots.n, is_new),
            self._announced[row],
            self._begun[row],
        )
        slots.n += n_added
        return allowed

    def _row_of(self, tenant: str) -> int:
        row = self._tenants.setdefault(tenant, len(self._tenants))
        if row == len(self._announced):
            self._announced = np.concatenate([self._announced, np.zeros_like(self._announced)])
            self._begun = np.concatenate([self._begun, np.zeros_like(self._begun)])
        return row


class _Slots:
    """A hash set of ids, at most half full, with a minute each."""

    def __init__(self, capacity: int) -> None:
        self.n = 0
        self.ids = np.zeros(capacity, dtype=np.uint64)
        self.minutes = np.zeros(capacity, dtype=np.int32)

    def n_bytes(self) -> int:
        return self.ids.nbytes + self.minutes.nbytes

    def rebuilt(self, oldest: int, n_more: int) -> "_Slots":
        """Return the slots of series announced after a minute, with room for more."""
        held = np.flatnonzero((self.ids != 0) & (self.minutes > oldest))
        # A third more than what has to fit, or the next few would have it rebuilt again.
        needed = 8 * (len(held) + n_more) // 3
        new = _Slots(max(1 << needed.bit_length(), _LEAST_SLOTS))
        _copy(self.ids, self.minutes, held, new.ids, new.minutes)
        new.n = len(held)
        return new


def _room(most: int | None, count: int) -> int:
    return _NO_LIMIT if most is None else max(most - count, 0)


@njit(cache=True, nogil=True)
def _admit(  # noqa: PLR0913, PLR0917 - columns of a table, and counts
    ids: NDArray[np.uint64],
    minutes: NDArray[np.int32],
    series_ids: NDArray[np.uint64],
    bounds: tuple[int, int, int, int, int],
    announced: NDArray[np.int64],
    begun: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], int]:
    """Return which series are allowed and how many slots were taken; announced, begun: counts."""
    minute, oldest, room, n_free, is_new = bounds
    allowed = np.ones(len(series_ids), dtype=np.bool_)
    n_added = 0
    for i in range(len(series_ids)):
        slot = slot_of(ids, series_ids[i])
        is_held = ids[slot] == series_ids[i]
        if is_held and minutes[slot] > oldest:
            if minutes[slot] < minute:
                announced[minutes[slot] % _RING] -= 1
                announced[minute % _RING] += 1
                minutes[slot] = minute
            continue
        if room <= 0:
            allowed[i] = False
            continue
        if not is_held:
            if n_added >= n_free:
                continue
            n_added += 1
            ids[slot] = series_ids[i]
        room -= 1
        minutes[slot] = minute
        announced[minute % _RING] += 1
        begun[minute % _RING] += is_new
    return allowed, n_added


@njit(cache=True, nogil=True)
def _copy(
    ids: NDArray[np.uint64],
    minutes: NDArray[np.int32],
    held: NDArray[np.int64],
    to_ids: NDArray[np.uint64],
    to_minutes: NDArray[np.int32],
) -> None:
    for at in held:
        slot = slot_of(to_ids, ids[at])
        to_ids[slot] = ids[at]
        to_minutes[slot] = minutes[at]

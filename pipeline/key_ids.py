"""Series ids by a key of how a sender writes a series: a compiled hash map in bounded memory."""

import threading
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.salt import salted

_LEAST_SLOTS = 1 << 10
_UNKNOWN = np.uint64(0)


class KeyIds:
    """Ids of series by key and tenant; a key is never 0, nor is an id.

    There are two generations of at most max_keys each. When the young one is full it becomes the
    old one, and what that one held is forgotten; a key that is met again moves to the young one.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        # Large bodies are read in threads beside the event loop.
        self._lock = threading.Lock()
        self._young = _Generation()
        self._old = _Generation()

    def __len__(self) -> int:
        """How many are remembered; one that has moved counts twice until its old place goes."""
        return self._young.n + self._old.n

    def n_bytes(self) -> int:
        """Return the memory of both generations."""
        return self._young.slots.nbytes + self._old.slots.nbytes

    def find(self, keys: NDArray[np.uint64], tenant_seed: np.uint64) -> NDArray[np.uint64]:
        """Return the id of each key of a tenant, shape (n,), 0 where it is not known."""
        return self._find(salted(keys, tenant_seed))

    def add(
        self,
        keys: NDArray[np.uint64],
        series_ids: NDArray[np.uint64],
        tenant_seed: np.uint64,
    ) -> None:
        """Remember the ids of a tenant's keys, both of shape (n,)."""
        with self._lock:
            self._add(salted(keys, tenant_seed), series_ids)

    def _find(self, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        with self._lock:
            ids = _find(self._young.slots, keys)
            missing = np.flatnonzero(ids == _UNKNOWN) if self._old.n else ()
            if len(missing):
                ids[missing] = _find(self._old.slots, keys[missing])
                moved = missing[ids[missing] != _UNKNOWN]
                self._add(keys[moved], ids[moved])
            return ids

    def resolve(
        self,
        keys: NDArray[np.uint64],
        is_wanted: NDArray[np.bool_],
        meet: Callable[[int], int],
        tenant_seed: np.uint64,
    ) -> NDArray[np.uint64]:
        """Return the id of each key, shape (n,), 0 where none is wanted or `meet` gives none.

        meet: gives the id for a key that is not known, by its first place; 0 is not remembered.
        """
        keys = salted(keys, tenant_seed)
        ids = self._find(keys)
        ids[~is_wanted] = 0
        missing = np.flatnonzero((ids == 0) & is_wanted)
        if len(missing):
            new, first, which = np.unique(keys[missing], return_index=True, return_inverse=True)
            found = np.empty(len(new), dtype=np.uint64)
            # In the order sent: parts of a point share the work on its labels.
            order = np.argsort(first)
            found[order] = [meet(at) for at in missing[first[order]].tolist()]
            with self._lock:
                self._add(new[found != 0], found[found != 0])
            ids[missing] = found[which]
        return ids

    def _add(self, keys: NDArray[np.uint64], series_ids: NDArray[np.uint64]) -> None:
        if self._young.n and self._young.n + len(keys) > self._max_keys:
            self._old, self._young = self._young, _Generation()
        self._young.add(keys, series_ids)


class _Generation:
    """A hash map, at most half full."""

    def __init__(self) -> None:
        self.n = 0
        self.slots = np.zeros((_LEAST_SLOTS, 2), dtype=np.uint64)

    def add(self, keys: NDArray[np.uint64], series_ids: NDArray[np.uint64]) -> None:
        needed = 2 * (self.n + len(keys))
        if needed > len(self.slots):
            held = self.slots[self.slots[:, 0] != 0]
            self.slots = np.zeros((1 << (needed - 1).bit_length(), 2), dtype=np.uint64)
            _add(self.slots, held[:, 0].copy(), held[:, 1].copy())
        self.n += _add(self.slots, keys, series_ids)


@njit(cache=True, nogil=True)
def _slot_of(slots: NDArray[np.uint64], key: np.uint64) -> np.int64:
    """Return the slot that holds the key, or the empty one where it belongs."""
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot, 0] != key and slots[slot, 0] != _UNKNOWN:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(cache=True, nogil=True)
def _find(slots: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    ids = np.empty(len(keys), dtype=np.uint64)
    for i in range(len(keys)):
        # An empty slot holds the id 0, too.
        ids[i] = slots[_slot_of(slots, keys[i]), 1]
    return ids


@njit(cache=True, nogil=True)
def _add(
    slots: NDArray[np.uint64], keys: NDArray[np.uint64], series_ids: NDArray[np.uint64]
) -> int:
    """Add the keys and return how many were new; there is room for all of them."""
    n_new = 0
    for i in range(len(keys)):
        slot = _slot_of(slots, keys[i])
        n_new += slots[slot, 0] == _UNKNOWN
        slots[slot, 0] = keys[i]
        slots[slot, 1] = series_ids[i]
    return n_new

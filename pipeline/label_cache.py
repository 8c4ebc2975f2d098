"""Ids of series by the bytes that their labels came in, so that known labels are not parsed again.

A sender writes the labels of a series in the same bytes each time. One hash over all of them and
one look-up replace two hashes a label, and the one of the metric's name.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_WAYS = 4
_LEAST_SLOTS = 1 << 12
_EMPTY = np.uint64(0)


class LabelCache:
    """At most max_series ids, 24 bytes each; a full one forgets one id for each new one.

    slots: uint64 (k, 3), a key, its id and the salted name of its metric.
    """

    def __init__(self, max_series: int) -> None:
        """Make an empty cache; with max_series 0 it stays empty."""
        self._max_slots = 1 << max(max_series - 1, 0).bit_length() if max_series else 0
        self.slots = _empty(min(_LEAST_SLOTS, self._max_slots))
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def grow(self, n_added: int) -> None:
        """Take note of added ids; with too little room left, begin anew with twice the room."""
        self._n += n_added
        if 2 * self._n > len(self.slots) and len(self.slots) < self._max_slots:
            self.slots = _empty(2 * len(self.slots))
            self._n = 0

    def n_bytes(self) -> int:
        """Return the memory of all slots."""
        return self.slots.nbytes


def _empty(n_slots: int) -> NDArray[np.uint64]:
    return np.zeros((n_slots, 3), dtype=np.uint64)


# For readers beside the event loop, which must not share a table that is being written.
NO_CACHE = LabelCache(0)


@njit(inline="always")
def find_slot(slots: NDArray[np.uint64], key: np.uint64) -> Any:
    """Return the slot that holds the key, an empty one where it may go, or else one to replace.

    There are _WAYS places for a key, in two cache lines at most.
    """
    first = np.int64(key & np.uint64(len(slots) - 1)) & ~(_WAYS - 1)
    for slot in range(first, first + _WAYS):
        if slots[slot, 0] == key or slots[slot, 0] == _EMPTY:
            return slot
    return first + np.int64(key >> np.uint64(62))

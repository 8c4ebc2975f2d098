"""The order in which the store keeps rows: by series, and within a series as they arrived."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_DIGIT_BITS = 11
_N_DIGITS = 6


def order_by_series(series_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the stable order by id, shape (n,).

    A radix sort takes less than half of the time of numpy's for 250,000 ids.
    """
    return _radix_order(np.ascontiguousarray(series_ids))


@njit(cache=True, nogil=True)
def _radix_order(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    n = len(keys)
    n_buckets = 1 << _DIGIT_BITS
    mask = np.uint64(n_buckets - 1)
    # All digits' histograms in one pass over the keys.
    starts = np.zeros((_N_DIGITS, n_buckets), dtype=np.int64)
    for i in range(n):
        for digit in range(_N_DIGITS):
            starts[digit, (keys[i] >> np.uint64(digit * _DIGIT_BITS)) & mask] += 1
    order = np.arange(n)
    moved = np.empty(n, dtype=np.int64)
    sorted_keys = keys.copy()
    moved_keys = np.empty(n, dtype=np.uint64)
    for digit in range(_N_DIGITS):
        shift = np.uint64(digit * _DIGIT_BITS)
        if n == 0 or starts[digit, (keys[0] >> shift) & mask] == n:
            continue  # the same digit in all keys
        total = 0
        for bucket in range(n_buckets):
            count = starts[digit, bucket]
            starts[digit, bucket] = total
            total += count
        for i in range(n):
            bucket = (sorted_keys[i] >> shift) & mask
            at = starts[digit, bucket]
            starts[digit, bucket] = at + 1
            moved[at] = order[i]
            moved_keys[at] = sorted_keys[i]
        order, moved = moved, order
        sorted_keys, moved_keys = moved_keys, sorted_keys
    return order

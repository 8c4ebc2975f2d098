"""The Sample message of remote write 1.0 and 2.0, compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import load_u64
from pipeline.wire import FIXED_64, VARINT, read_varint, skip_value

_VALUE = np.uint64(1 << 3 | FIXED_64)
_TIMESTAMP = np.uint64(2 << 3 | VARINT)
_START_TIMESTAMP = np.uint64(3 << 3 | VARINT)


@njit(inline="always")
def read_sample(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    starts_ms: NDArray[np.int64],
    sample: int,
) -> int:
    """Fill in one Sample; return -1, or the position of the first broken byte.

    starts_ms: empty for version 1.0, which has no start timestamps.
    """
    times_ms[sample] = 0
    value_bits[sample] = 0
    if len(starts_ms) > 0:
        starts_ms[sample] = 0
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return start
        if tag == _VALUE and at + 8 <= end:
            value_bits[sample] = load_u64(body, at)
            at += 8
        elif tag == _TIMESTAMP:
            time, at = read_varint(body, at, end)
            times_ms[sample] = np.int64(time)
        elif tag == _START_TIMESTAMP and len(starts_ms) > 0:
            time, at = read_varint(body, at, end)
            starts_ms[sample] = np.int64(time)
        else:
            at = skip_value(body, at, end, tag)
        if at < 0:
            return start
    return -1

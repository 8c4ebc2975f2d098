"""Rows of OTLP data points: one for each sample that a point becomes, compiled."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import avalanche
from schemas.samples import STALE_MARKER_BITS

# key: 64 bits for resource, metric, attributes and part as they were sent; never 0.
# start_ms: since when the value counts from zero; 0 where that is not known or it does not.
# bound: bits of the upper bound or of the quantile. at: where the field of the point begins.
ROW = np.dtype(
    [
        ("key", "<u8"),
        ("time_ms", "<i8"),
        ("start_ms", "<i8"),
        ("bound", "<u8"),
        ("at", "<i8"),
        ("metric", "<i4"),
        ("part", "u1"),
        ("is_delta", "u1"),
        ("fault", "u1"),
    ],
    align=True,
)

# Parts of a point, each a series. Typed: numba compiles functions for each plain number anew.
_PARTS: Any = tuple(np.int64(part) for part in range(6))
VALUE, BUCKET, INFINITE_BUCKET, COUNT, SUM, QUANTILE = _PARTS
# Faults of a point, in the one row that it then has.
NO_FAULT, NO_TIME, NO_VALUE, NO_TEMPORALITY = range(4)
UNMATCHED, UNORDERED, TOO_MANY_BUCKETS, BAD_SCALE = range(4, 8)

# Words of a point's head. SEEN: which of the three words before it the point has.
TIME, START, FLAGS, ATTRIBUTES, FOURTH, FIFTH, SIXTH, SEEN = range(8)
SAW_FOURTH, SAW_FIFTH, SAW_SIXTH = np.uint64(1), np.uint64(2), np.uint64(4)

_ODD = np.uint64(0x9E3779B97F4A7C15)
ZERO = np.uint64(0)


@njit(cache=True, nogil=True)
def mix(one: np.uint64, other: np.uint64) -> np.uint64:
    """Return one word for two, in their order."""
    return avalanche((one * _ODD) ^ (other + _ODD))


@njit(cache=True, nogil=True)
def put(rows: Any, n: int, point: Any, part: int, bound: np.uint64) -> int:
    """Write row n, with what all rows of its point have, if there is room; return n + 1."""
    if n < len(rows):
        row = rows[n]
        row.key = mix(point.key + np.uint64(part), bound) | np.uint64(1)
        row.time_ms = point.time_ms
        row.start_ms = point.start_ms
        row.bound = bound
        row.at = point.at
        row.metric = point.metric
        row.part = part
        row.is_delta = point.is_delta
        row.fault = point.fault
    return n + 1


@njit(cache=True, nogil=True)
def put_bucket(
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    bound: float,
    count: np.uint64,
    is_stale: bool,  # noqa: FBT001 - compiled
) -> int:
    """Write the row of a bucket: its upper bound, and how many values are not above it."""
    if n >= len(rows):
        return n + 1
    values[n] = bound
    bound_bits = bits[n]
    if is_stale:
        bits[n] = STALE_MARKER_BITS
    else:
        values[n] = np.float64(count)
    return put(rows, n, point, BUCKET, bound_bits)


@njit(cache=True, nogil=True)
def put_totals(
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    head: NDArray[np.uint64],
    is_stale: bool,  # noqa: FBT001 - compiled
    first_part: int,
) -> int:
    """Write the rows from first_part on: INFINITE_BUCKET, COUNT, and SUM if the point has one."""
    for part in range(first_part, SUM + 1):
        if part == SUM and head[SEEN] & SAW_FIFTH == ZERO and not is_stale:
            continue
        if n < len(rows):
            if is_stale:
                bits[n] = STALE_MARKER_BITS
            elif part == SUM:
                bits[n] = head[FIFTH]
            else:
                values[n] = np.float64(head[FOURTH])
        n = put(rows, n, point, part, ZERO)
    return n

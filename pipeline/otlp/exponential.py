"""Exponential histograms of OTLP as classic buckets, compiled.

OpenTelemetry metrics data model, "ExponentialHistogram": bucket i of scale s holds the values in
(2**(i * 2**-s), 2**((i + 1) * 2**-s)]. Each becomes a count by upper bound, so fine scales would
cost a hundred series and more: neighbours are joined ("perfect subsetting" in the data model).
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import load_u64
from pipeline.otlp.rows import (
    BAD_SCALE,
    COUNT,
    INFINITE_BUCKET,
    NO_FAULT,
    TOO_MANY_BUCKETS,
    ZERO,
    put,
    put_bucket,
    put_totals,
)
from pipeline.wire import BROKEN, BYTES, FIXED_64, VARINT, next_field, read_varint, varint_at

# Upper bounds are a factor of 2**(1/4) apart or more, and no more than these of one sign.
MAX_SCALE = 2
MAX_BOUNDS = 160
_ROOTS = np.array([1.0, 2.0**0.25, 2.0**0.5, 2.0**0.75])
# 2 to the power of this is infinite, and to the power of its negative 0.
_BEYOND = 1100
# Scales of SDKs are from -10 to 20.
_MOST_SCALE = 32

_SCALE = np.uint64(6 << 3 | VARINT)
_ZERO_COUNT = np.uint64(7 << 3 | FIXED_64)
_POSITIVE, _NEGATIVE = np.uint64(8 << 3 | BYTES), np.uint64(9 << 3 | BYTES)
_ZERO_THRESHOLD = np.uint64(14 << 3 | FIXED_64)
# Of Buckets: offset and bucket_counts, packed or one by one.
_OFFSET = np.uint64(1 << 3 | VARINT)
_BUCKETS, _BUCKET = np.uint64(2 << 3 | BYTES), np.uint64(2 << 3 | VARINT)


@njit(cache=True, nogil=True)
def bound_of(index: int, scale: int) -> float:
    """Return 2**(index * 2**-scale) for scale <= MAX_SCALE, the same bits wherever it is asked."""
    if scale >= 0:
        exponent = index >> scale
        root = _ROOTS[(index & ((1 << scale) - 1)) << (MAX_SCALE - scale)]
    else:
        exponent = index * (1 << min(-scale, 12))
        root = 1.0
    return math.ldexp(root, min(max(exponent, -_BEYOND), _BEYOND))


@njit(cache=True, nogil=True)
def _signed(word: np.uint64) -> int:
    """Return the sint32 that a varint holds."""
    low: Any = np.int64(word & np.uint64(0xFFFFFFFF))
    return (low >> 1) ^ -(low & 1)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _read_buckets(
    body: NDArray[np.uint8], at: int, end: int, counts: NDArray[np.uint64]
) -> tuple[int, int]:
    """Return offset and number of the counts of one sign, BROKEN as their number where they are.

    What does not fit counts is counted, not kept.
    """
    offset, n = 0, 0
    while at < end:
        tag, start, at = next_field(body, at, end)
        if at < 0:
            return 0, BROKEN
        if tag == _OFFSET:
            offset = _signed(varint_at(body, start, at))
        elif tag in (_BUCKETS, _BUCKET):
            while start < at:
                word, start = read_varint(body, start, at)
                if start < 0:
                    return 0, BROKEN
                if n < len(counts):
                    counts[n] = word
                n += 1
    return offset, n


@njit(cache=True, nogil=True)
def _join(
    counts: NDArray[np.uint64],
    n: int,
    offset: int,
    scale: int,
    joined: NDArray[np.uint64],
    point: Any,
) -> tuple[int, int, int]:
    """Join the buckets between the first and the last with a value.

    Returns the index of the first, how many there are, and their scale; none of a faulty point.
    """
    if n > len(counts) and point.fault == NO_FAULT:
        point.fault = TOO_MANY_BUCKETS
    if point.fault != NO_FAULT:
        return 0, 0, scale
    first, last = n, -1
    for i in range(n):
        if counts[i] != ZERO:
            first, last = min(first, i), i
    if last < 0:
        return 0, 0, scale
    shift = max(scale - MAX_SCALE, 0)
    while ((offset + last) >> shift) - ((offset + first) >> shift) >= MAX_BOUNDS:
        shift += 1
    begin = (offset + first) >> shift
    n_joined = ((offset + last) >> shift) - begin + 1
    joined[:n_joined] = 0
    for i in range(first, last + 1):
        joined[((offset + i) >> shift) - begin] += counts[i]
    return begin, n_joined, scale - shift


@njit(cache=True, nogil=True)
def put_exponential(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    head: NDArray[np.uint64],
    is_stale: bool,  # noqa: FBT001 - compiled
    counts: NDArray[np.uint64],
    joined: NDArray[np.uint64],
) -> int:
    """Write the rows of an ExponentialHistogramDataPoint; return as put_histogram does.

    counts: scratch, uint64 (m,); a point of more buckets is refused. joined: scratch (MAX_BOUNDS,).
    """
    scale, zero_count, threshold_bits = 0, ZERO, ZERO
    plus, plus_end, minus, minus_end = 0, 0, 0, 0
    while at < end:
        tag, start, at = next_field(body, at, end)
        if tag == _SCALE:
            scale = _signed(varint_at(body, start, at))
        elif tag == _ZERO_COUNT:
            zero_count = load_u64(body, start)
        elif tag == _ZERO_THRESHOLD:
            threshold_bits = load_u64(body, start)
        elif tag == _POSITIVE:
            if plus_end > 0:
                return BROKEN
            plus, plus_end = start, at
        elif tag == _NEGATIVE:
            if minus_end > 0:
                return BROKEN
            minus, minus_end = start, at
    if point.fault == NO_FAULT and abs(scale) > _MOST_SCALE:
        point.fault = BAD_SCALE
    begin, total, top = n, ZERO, -np.inf
    offset, n_counts = _read_buckets(body, minus, minus_end, counts)
    first, n_joined, joined_scale = _join(counts, n_counts, offset, scale, joined, point)
    for i in range(n_joined, -1, -1):
        # From the lower bound of all on, upwards.
        total += joined[i] if i < n_joined else ZERO
        if n_joined > 0:
            # 0.0, not -0.0, which is another bound's text.
            bound = 0.0 - bound_of(first + i, joined_scale)
            n = _put_next(rows, values, bits, n, point, top, bound, total, is_stale)
            top = max(top, bound)
    if n_counts >= 0 and (zero_count != ZERO or total != ZERO):
        total += zero_count
        counts[0] = threshold_bits
        bound = counts.view(np.float64)[0]
        n = _put_next(rows, values, bits, n, point, top, bound, total, is_stale)
        top = max(top, bound)
    is_sound = n_counts >= 0
    offset, n_counts = _read_buckets(body, plus, plus_end, counts)
    if n_counts < 0 or not is_sound:
        return BROKEN
    first, n_joined, joined_scale = _join(counts, n_counts, offset, scale, joined, point)
    for i in range(n_joined + 1):
        total += joined[i - 1] if i > 0 else ZERO
        if n_joined > 0:
            bound = bound_of(first + i, joined_scale)
            n = _put_next(rows, values, bits, n, point, top, bound, total, is_stale)
            top = max(top, bound)
    if point.fault != NO_FAULT:
        return put(rows, begin, point, COUNT, ZERO)
    return put_totals(rows, values, bits, n, point, head, is_stale, INFINITE_BUCKET)


@njit(cache=True, nogil=True)
def _put_next(
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    top: float,
    bound: float,
    total: np.uint64,
    is_stale: bool,  # noqa: FBT001 - compiled
) -> int:
    """Write the row of the next bucket, over the one before if rounding made one bound of both.

    A bound below the top one, or one that is not finite, has no row.
    """
    if not top <= bound < np.inf or bound == -np.inf:
        return n
    at = n - 1 if bound == top else n
    return put_bucket(rows, values, bits, at, point, bound, total, is_stale)

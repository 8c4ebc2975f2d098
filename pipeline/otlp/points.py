"""Data points of OTLP metrics: from their wire bytes to rows, compiled.

Fields are those of opentelemetry-proto's metrics.proto. A histogram becomes its classic series:
counts by upper bound, count and sum.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import load_u64, xxh64
from pipeline.otlp.rows import (
    ATTRIBUTES,
    COUNT,
    FIFTH,
    FLAGS,
    FOURTH,
    INFINITE_BUCKET,
    NO_FAULT,
    NO_TIME,
    NO_VALUE,
    QUANTILE,
    SAW_FIFTH,
    SAW_FOURTH,
    SAW_SIXTH,
    SEEN,
    SIXTH,
    START,
    TIME,
    TOO_MANY_BUCKETS,
    UNMATCHED,
    UNORDERED,
    VALUE,
    ZERO,
    mix,
    put,
    put_bucket,
    put_totals,
)
from pipeline.wire import BROKEN, BYTES, FIXED_64, next_field, varint_at
from schemas.samples import STALE_MARKER_BITS

# Of all points.
_START = np.uint64(2 << 3 | FIXED_64)
_TIME = np.uint64(3 << 3 | FIXED_64)
# Of NumberDataPoint: as_double and as_int; of the others: count and sum.
_FOURTH = np.uint64(4 << 3 | FIXED_64)
_FIFTH = np.uint64(5 << 3 | FIXED_64)
_SIXTH = np.uint64(6 << 3 | FIXED_64)
# Of HistogramDataPoint: bucket_counts and explicit_bounds, packed or one by one.
_COUNTS, _COUNT = np.uint64(6 << 3 | BYTES), np.uint64(6 << 3 | FIXED_64)
_BOUNDS, _BOUND = np.uint64(7 << 3 | BYTES), np.uint64(7 << 3 | FIXED_64)
# Of SummaryDataPoint, and its ValueAtQuantile.
_QUANTILE_VALUES = np.uint64(6 << 3 | BYTES)
_QUANTILE, _VALUE_AT = np.uint64(1 << 3 | FIXED_64), np.uint64(2 << 3 | FIXED_64)

# How a metric counts.
NOT_COUNTING, CUMULATIVE, DELTA = range(3)

_NO_RECORDED_VALUE = np.uint64(1)
_NS_PER_MS = np.uint64(1_000_000)


@njit(cache=True, nogil=True)
def read_head(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    attributes_tag: np.uint64,
    flags_tag: np.uint64,
    head: NDArray[np.uint64],
) -> bool:
    """Read what all kinds of points have; return whether the message's fields are sound.

    Attributes are hashed, not parsed: those in a row as one text, as every known sender has them.
    """
    head[:] = 0
    text_start, text_end = at, at
    while at < end:
        field_at = at
        tag, start, at = next_field(body, at, end)
        if at < 0:
            return False
        if tag & np.uint64(7) == np.uint64(FIXED_64):
            word = load_u64(body, start)
            if tag == _TIME:
                head[TIME] = word
            elif tag == _START:
                head[START] = word
            elif tag == _FOURTH:
                head[FOURTH] = word
                head[SEEN] = (head[SEEN] & ~SAW_SIXTH) | SAW_FOURTH
            elif tag == _FIFTH:
                head[FIFTH] = word
                head[SEEN] |= SAW_FIFTH
            elif tag == _SIXTH:
                head[SIXTH] = word
                head[SEEN] = (head[SEEN] & ~SAW_FOURTH) | SAW_SIXTH
        elif tag == attributes_tag:
            if text_end != field_at:
                if text_end > text_start:
                    head[ATTRIBUTES] = mix(head[ATTRIBUTES], xxh64(body, text_start, text_end))
                text_start = field_at
            text_end = at
        elif tag == flags_tag:
            head[FLAGS] = varint_at(body, start, at)
    if text_end > text_start:
        head[ATTRIBUTES] = mix(head[ATTRIBUTES], xxh64(body, text_start, text_end))
    return True


@njit(cache=True, nogil=True)
def begin_point(point: Any, head: NDArray[np.uint64], metric_key: np.uint64, counting: int) -> bool:
    """Set what all rows of a point have; return whether it says that nothing was recorded."""
    is_stale = bool(head[FLAGS] & _NO_RECORDED_VALUE)
    point.key = mix(metric_key, head[ATTRIBUTES])
    point.time_ms = np.int64(head[TIME] // _NS_PER_MS)
    begins = counting == CUMULATIVE and not is_stale
    point.start_ms = np.int64(head[START] // _NS_PER_MS) if begins else 0
    point.is_delta = counting == DELTA
    point.fault = NO_TIME if head[TIME] == ZERO else NO_FAULT
    return is_stale


@njit(cache=True, nogil=True)
def put_number(
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    head: NDArray[np.uint64],
    is_stale: bool,  # noqa: FBT001 - compiled
) -> int:
    """Write the row of a NumberDataPoint; return the number of rows with it."""
    seen = head[SEEN] & (SAW_FOURTH | SAW_SIXTH)
    if seen == ZERO and not is_stale and point.fault == NO_FAULT:
        point.fault = NO_VALUE
    if n < len(rows):
        if is_stale:
            bits[n] = STALE_MARKER_BITS
        elif seen == SAW_SIXTH:
            values[n] = np.float64(np.int64(head[SIXTH]))
        else:
            bits[n] = head[FOURTH]
    return put(rows, n, point, VALUE, ZERO)


@njit(cache=True, nogil=True)
def _gather(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    packed_tag: np.uint64,
    single_tag: np.uint64,
    words: NDArray[np.uint64],
) -> int:
    """Read a repeated number of 8 bytes of a sound message; return how many there are.

    What does not fit words is counted, not kept. Returns BROKEN where one is cut off.
    """
    n = 0
    while at < end:
        tag, start, at = next_field(body, at, end)
        if tag not in (packed_tag, single_tag):
            continue
        if (at - start) % 8 != 0:
            return BROKEN
        for word_at in range(start, at, 8):
            if n < len(words):
                words[n] = load_u64(body, word_at)
            n += 1
    return n


@njit(cache=True, nogil=True)
def put_histogram(
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
    bounds: NDArray[np.float64],
) -> int:
    """Write the rows of a HistogramDataPoint; return the number of rows with them, or BROKEN.

    counts, bounds: scratch, shape (m,); a point of more buckets is refused.
    """
    n_bounds = _gather(body, at, end, _BOUNDS, _BOUND, bounds.view(np.uint64))
    n_counts = _gather(body, at, end, _COUNTS, _COUNT, counts)
    if n_bounds < 0 or n_counts < 0:
        return BROKEN
    if point.fault == NO_FAULT:
        point.fault = _find_fault(n_bounds, n_counts, bounds)
    if point.fault != NO_FAULT:
        return put(rows, n, point, COUNT, ZERO)
    total = ZERO
    for i in range(n_bounds):
        total += counts[i]
        if bounds[i] < np.inf:
            n = put_bucket(rows, values, bits, n, point, bounds[i], total, is_stale)
    first_part = INFINITE_BUCKET if n_counts > 0 or is_stale else COUNT
    return put_totals(rows, values, bits, n, point, head, is_stale, first_part)


@njit(cache=True, nogil=True)
def _find_fault(n_bounds: int, n_counts: int, bounds: NDArray[np.float64]) -> int:
    """Return what is wrong with a histogram's buckets; one without any is sound."""
    if max(n_counts, n_bounds) > len(bounds):
        return TOO_MANY_BUCKETS
    if n_counts != n_bounds + 1 and n_counts + n_bounds > 0:
        return UNMATCHED
    below = -np.inf
    for bound in bounds[:n_bounds]:
        if not below < bound:
            return UNORDERED
        below = bound
    return NO_FAULT


@njit(cache=True, nogil=True)
def put_summary(
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
) -> int:
    """Write the rows of a SummaryDataPoint; return the number of rows with them, or BROKEN."""
    # Unlike a histogram's, a summary's sum is always there: 0 is left out on the wire.
    head[SEEN] |= SAW_FIFTH
    begin = n
    n = put_totals(rows, values, bits, n, point, head, is_stale, COUNT)
    point.start_ms = 0
    while at < end:
        tag, inner, at = next_field(body, at, end)
        if tag != _QUANTILE_VALUES:
            continue
        quantile, value = ZERO, ZERO
        while inner < at:
            tag, start, inner = next_field(body, inner, at)
            if inner < 0:
                return BROKEN
            if tag == _QUANTILE:
                quantile = load_u64(body, start)
            elif tag == _VALUE_AT:
                value = load_u64(body, start)
        if n < len(rows):
            bits[n] = STALE_MARKER_BITS if is_stale else value
        n = put(rows, n, point, QUANTILE, quantile)
    return n if point.fault == NO_FAULT else put(rows, begin, point, COUNT, ZERO)

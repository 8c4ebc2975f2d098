"""Heads of OTLP metrics: name, unit, where the points stand and how they count, compiled."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.otlp.points import CUMULATIVE, DELTA, NOT_COUNTING
from pipeline.otlp.rows import ZERO
from pipeline.wire import BROKEN, BYTES, VARINT, next_field, varint_at

# Which message of Metric holds its points; the numbers are those of the fields.
GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY = 5, 7, 9, 10, 11

# Spans are (start, end) in the body. unit_key: XXH64 of the unit.
METRIC = np.dtype(
    [
        ("name_start", "<i8"),
        ("name_end", "<i8"),
        ("unit_start", "<i8"),
        ("unit_end", "<i8"),
        ("scope_start", "<i8"),
        ("scope_end", "<i8"),
        ("unit_key", "<u8"),
        ("resource", "<i4"),
        ("kind", "u1"),
        ("is_monotonic", "u1"),
        ("temporality", "u1"),
    ],
    align=True,
)

_NAME, _UNIT = np.uint64(1 << 3 | BYTES), np.uint64(3 << 3 | BYTES)
# Of the message that holds the points.
_TEMPORALITY, _IS_MONOTONIC = np.uint64(2 << 3 | VARINT), np.uint64(3 << 3 | VARINT)


@njit(cache=True, nogil=True)
def find_single(body: NDArray[np.uint8], at: int, end: int, wanted: np.uint64) -> tuple[int, int]:
    """Return the span of a message's only submessage of a tag, empty if there is none.

    Walks all fields: what it returns without BROKEN is sound at this level. Twice is broken, too:
    protobuf would merge them, and no sender writes that.
    """
    start, stop, found = at, at, False
    while at < end:
        tag, value_at, at = next_field(body, at, end)
        if at < 0 or (tag == wanted and found):
            return BROKEN, BROKEN
        if tag == wanted:
            start, stop, found = value_at, at, True
    return start, stop


@njit(cache=True, nogil=True)
def read_metric(body: NDArray[np.uint8], at: int, end: int, metric: Any) -> tuple[int, int]:
    """Fill in a Metric's head; return the span of the message with its points, or BROKEN twice."""
    start, stop = at, at
    metric.kind = 0
    metric.name_start = metric.name_end = metric.unit_start = metric.unit_end = at
    while at < end:
        tag, value_at, at = next_field(body, at, end)
        if at < 0:
            return BROKEN, BROKEN
        field = np.int64(tag >> np.uint64(3))
        if tag & np.uint64(7) != np.uint64(BYTES):
            continue
        if tag == _NAME:
            metric.name_start, metric.name_end = value_at, at
        elif tag == _UNIT:
            metric.unit_start, metric.unit_end = value_at, at
        elif field in (GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY):
            if metric.kind != 0:
                return BROKEN, BROKEN
            metric.kind = field
            start, stop = value_at, at
    return start, stop


@njit(cache=True, nogil=True)
def read_counting(body: NDArray[np.uint8], at: int, end: int, metric: Any) -> bool:
    """Read how a metric counts from the message with its points; return whether that is sound."""
    metric.temporality, metric.is_monotonic = 0, 0
    while at < end:
        tag, value_at, at = next_field(body, at, end)
        if at < 0:
            return False
        if tag == _TEMPORALITY:
            word = varint_at(body, value_at, at) & np.uint64(0xFFFFFFFF)
            metric.temporality = word if word <= np.uint64(2) else ZERO
        elif tag == _IS_MONOTONIC:
            metric.is_monotonic = varint_at(body, value_at, at) != ZERO
    return True


@njit(cache=True, nogil=True)
def counting_of(metric: Any) -> int:
    """Return how the values of a metric count: for what is not monotonic, not at all."""
    if metric.kind == GAUGE or (metric.kind == SUM and not metric.is_monotonic):
        return NOT_COUNTING
    return DELTA if metric.temporality == 1 else CUMULATIVE

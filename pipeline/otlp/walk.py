"""OTLP metrics: from an ExportMetricsServiceRequest's wire bytes to rows, compiled.

Fields are those of opentelemetry-proto's metrics_service.proto and metrics.proto.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.errors import MalformedBody, TooManySamples
from pipeline.hashing import xxh64
from pipeline.otlp.exponential import MAX_BOUNDS, put_exponential
from pipeline.otlp.metrics import (
    EXPONENTIAL_HISTOGRAM,
    GAUGE,
    HISTOGRAM,
    METRIC,
    SUM,
    SUMMARY,
    counting_of,
    find_single,
    read_counting,
    read_metric,
)
from pipeline.otlp.points import (
    begin_point,
    put_histogram,
    put_number,
    put_summary,
    read_head,
)
from pipeline.otlp.rows import NO_FAULT, NO_TEMPORALITY, ROW, ZERO, mix
from pipeline.wire import BYTES, VARINT, next_field

RESOURCE = np.dtype([("start", "<i8"), ("end", "<i8"), ("key", "<u8"), ("row", "<i8")])

MAX_BUCKETS = 4096
# Some 60 bytes each.
MAX_ROWS = 1 << 21
_LEAST_ROWS = 64
# Typed, or numba compiles what is called with it for this number alone.
_BEGIN: Any = np.int64(0)
_BYTES_PER_ROW = 24

# Of ExportMetricsServiceRequest, ResourceMetrics and ScopeMetrics.
_RESOURCE_METRICS = _RESOURCE = _SCOPE = _DATA_POINTS = np.uint64(1 << 3 | BYTES)
_SCOPE_METRICS = _METRICS = np.uint64(2 << 3 | BYTES)
# Attributes and flags of points.
_SEVENTH, _NINTH, _FIRST = (np.uint64(n << 3 | BYTES) for n in (7, 9, 1))
_FLAGS_8, _FLAGS_10 = np.uint64(8 << 3 | VARINT), np.uint64(10 << 3 | VARINT)


@dataclass(frozen=True, slots=True)
class Export:
    """A request as rows.

    rows: of dtype ROW, (n,), in the order sent; values: float64 (n,), NaN payloads kept.
    metrics: of dtype METRIC, those with points. resources: of dtype RESOURCE, those with points;
    `row` is the first row of each, `key` 64 bits for the tenant and the resource.
    """

    rows: NDArray[np.void]
    values: NDArray[np.float64]
    metrics: NDArray[np.void]
    resources: NDArray[np.void]


def decode_export(
    body: NDArray[np.uint8], tenant_seed: np.uint64, *, with_scope: bool = False
) -> Export:
    """Decode a body; tenant_seed as of hashing.tenant_hash.

    with_scope: whether the instrumentation scope distinguishes series.
    Attributes are hashed, not parsed, so they may still be broken. Raises MalformedBody.
    """
    scratch = (
        np.empty(8, dtype=np.uint64),
        np.empty(MAX_BUCKETS, dtype=np.uint64),
        np.empty(MAX_BOUNDS, dtype=np.uint64),
        np.empty(MAX_BUCKETS, dtype=np.float64),
    )
    n_rows = len(body) // _BYTES_PER_ROW + _LEAST_ROWS
    n_metrics = n_resources = _LEAST_ROWS
    while True:
        rows = np.empty(min(n_rows, MAX_ROWS), dtype=ROW)
        values = np.empty(len(rows), dtype=np.float64)
        metrics = np.empty(n_metrics, dtype=METRIC)
        resources = np.empty(n_resources, dtype=RESOURCE)
        n_rows, n_metrics, n_resources, broken_at = _walk(
            body,
            tenant_seed,
            with_scope,
            rows,
            values,
            values.view(np.uint64),
            metrics,
            resources,
            np.zeros(1, dtype=ROW),
            np.zeros(1, dtype=METRIC),
            scratch,
        )
        if broken_at >= 0:
            raise MalformedBody(
                f"not a protobuf ExportMetricsServiceRequest: broken near byte {broken_at}"
            )
        if n_rows > MAX_ROWS:
            raise TooManySamples(
                f"more than {MAX_ROWS} samples in one request: send smaller batches"
            )
        is_whole = (
            n_rows <= len(rows) and n_metrics <= len(metrics) and n_resources <= len(resources)
        )
        if is_whole:
            return Export(
                rows[:n_rows], values[:n_rows], metrics[:n_metrics], resources[:n_resources]
            )


@njit(cache=True, nogil=True)
def _walk_points(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    metric: Any,
    key: np.uint64,
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    n: int,
    point: Any,
    scratch: Any,
) -> tuple[int, int]:
    """Write the rows of a metric's points; return their end, and where it broke or -1."""
    head, counts, joined, bounds = scratch
    kind = metric.kind
    counting = counting_of(metric)
    without_temporality = metric.temporality == 0 and kind not in (GAUGE, SUMMARY)
    attributes_tag, flags_tag = _SEVENTH, _FLAGS_8
    if kind == HISTOGRAM:
        attributes_tag, flags_tag = _NINTH, _FLAGS_10
    elif kind == EXPONENTIAL_HISTOGRAM:
        attributes_tag, flags_tag = _FIRST, _FLAGS_10
    while at < end:
        field_at = at
        tag, start, at = next_field(body, at, end)
        if tag != _DATA_POINTS:
            continue
        point.at = field_at
        if not read_head(body, start, at, attributes_tag, flags_tag, head):
            return n, start
        is_stale = begin_point(point, head, key, counting)
        if without_temporality and point.fault == NO_FAULT:
            point.fault = NO_TEMPORALITY
        if kind in (GAUGE, SUM):
            n = put_number(rows, values, bits, n, point, head, is_stale)
        elif kind == HISTOGRAM:
            n = put_histogram(
                body, start, at, rows, values, bits, n, point, head, is_stale, counts, bounds
            )
        elif kind == EXPONENTIAL_HISTOGRAM:
            n = put_exponential(
                body, start, at, rows, values, bits, n, point, head, is_stale, counts, joined
            )
        else:
            n = put_summary(body, start, at, rows, values, bits, n, point, head, is_stale)
        if n < 0:
            return 0, start
    return n, -1


@njit(cache=True, nogil=True)
def _walk(
    body: NDArray[np.uint8],
    seed: np.uint64,
    with_scope: bool,  # noqa: FBT001 - compiled
    rows: Any,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    metrics: Any,
    resources: Any,
    one_row: Any,
    one_metric: Any,
    scratch: Any,
) -> tuple[int, int, int, int]:
    """Write all rows; return the numbers of rows, metrics and resources, and where it broke or -1.

    Beyond the ends of the arrays it only counts.
    """
    n, n_metrics, n_resources = 0, 0, 0
    point, metric = one_row[0], one_metric[0]
    at, end = _BEGIN, len(body)
    if find_single(body, at, end, ZERO)[0] < 0:
        return 0, 0, 0, 0
    while at < end:
        tag, of_resource, at = next_field(body, at, end)
        if tag != _RESOURCE_METRICS:
            continue
        resource_start, resource_end = find_single(body, of_resource, at, _RESOURCE)
        if resource_start < 0 or find_single(body, resource_start, resource_end, ZERO)[0] < 0:
            return 0, 0, 0, int(of_resource)
        resource_key = mix(seed, xxh64(body, resource_start, resource_end))
        first_row = n
        while of_resource < at:
            tag, of_scope, of_resource = next_field(body, of_resource, at)
            if tag != _SCOPE_METRICS:
                continue
            scope_start, scope_end = find_single(body, of_scope, of_resource, _SCOPE)
            if scope_start < 0:
                return 0, 0, 0, int(of_scope)
            scope_key = xxh64(body, scope_start, scope_end) if with_scope else ZERO
            while of_scope < of_resource:
                tag, of_metric, of_scope = next_field(body, of_scope, of_resource)
                if tag != _METRICS:
                    continue
                start, stop = read_metric(body, of_metric, of_scope, metric)
                if start < 0 or not read_counting(body, start, stop, metric):
                    return 0, 0, 0, int(of_metric)
                if metric.kind == 0:
                    continue
                name = xxh64(body, metric.name_start, metric.name_end)
                unit = xxh64(body, metric.unit_start, metric.unit_end)
                kind = np.uint64(metric.kind) + (np.uint64(metric.is_monotonic) << np.uint64(8))
                key = mix(mix(mix(resource_key, scope_key), name), mix(unit, kind))
                point.metric = n_metrics
                before = n
                n, broken_at = _walk_points(
                    body, start, stop, metric, key, rows, values, bits, n, point, scratch
                )
                if broken_at >= 0:
                    return 0, 0, 0, int(broken_at)
                if n > before:
                    if n_metrics < len(metrics):
                        metric.resource = n_resources
                        metric.unit_key = unit
                        metric.scope_start, metric.scope_end = scope_start, scope_end
                        metrics[n_metrics] = metric
                    n_metrics += 1
        if n > first_row:
            if n_resources < len(resources):
                resource = resources[n_resources]
                resource.start, resource.end = resource_start, resource_end
                resource.key, resource.row = resource_key, first_row
            n_resources += 1
    return n, n_metrics, n_resources, -1

"""Bodies of OTLP metrics, and a slow plain reference that reads them with the official protobuf.

In the reference's messages strings are bytes, and so are messages that the decoder has no use for
or reads for new series only: protobuf refuses a body for one name that is not UTF-8, or for a
broken exemplar.
"""

import base64
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from pipeline.otlp.names import label_name, metric_name

Request = metrics_service_pb2.ExportMetricsServiceRequest
STALE = 0x7FF0000000000002
T_NS = 1_700_000_000_123_456_789
UNSPECIFIED, DELTA, CUMULATIVE = range(3)
MAX_BOUNDS, MAX_SCALE, MAX_BUCKETS = 160, 2, 4096


def make_request(resource_metrics: list[dict[str, Any]]) -> Request:
    """Return a request of messages given as dicts."""
    return Request(resource_metrics=resource_metrics)  # type: ignore[arg-type]


def request(metric: dict[str, Any], **resource: str) -> bytes:
    """Return a body of one metric; resource: its attributes, '_' for '.' in their keys."""
    pairs = [
        {"key": key.replace("_", "."), "value": {"string_value": value}}
        for key, value in resource.items()
    ]
    of_resource = {"resource": {"attributes": pairs}, "scope_metrics": [{"metrics": [metric]}]}
    return make_request([of_resource]).SerializeToString()


@dataclass(slots=True)
class Expected:
    """samples: (labels, time, bits of the value, start or None for a delta). n_refused: points."""

    samples: list[tuple[dict[str, str], int, int, int | None]] = field(default_factory=list)
    n_refused: int = 0


_UNREAD = {"attributes", "exemplars", "scope", "entity_refs", "metadata"}


def _lenient_classes() -> tuple[Any, ...]:
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, metrics_pb2, metrics_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        messages = list(file.message_type)
        while messages:
            message = messages.pop()
            messages += message.nested_type
            for one in message.field:
                if one.type == one.TYPE_STRING or one.name in _UNREAD:
                    one.type = one.TYPE_BYTES
                    one.ClearField("type_name")
        pool.Add(file)
    messages_of_use = (Request, common_pb2.KeyValue, common_pb2.InstrumentationScope)
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(one.DESCRIPTOR.full_name))
        for one in messages_of_use
    )


LenientRequest, KeyValue, Scope = _lenient_classes()


def read(body: bytes, *, with_scope: bool = False) -> Expected:
    """Read a body; raises protobuf's DecodeError where it is none."""
    request = LenientRequest.FromString(body)
    expected = Expected()
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                scope = of_scope.scope if with_scope else None
                _read_metric(metric, of_resource.resource, scope, expected)
    return expected


def _pairs(attributes: Any) -> list[tuple[str, str]]:
    read = [KeyValue.FromString(one) for one in attributes]
    return [(one.key.decode(), _text(one.value)) for one in read]


def _identity(resource: Any) -> dict[str, str]:
    texts = dict(_pairs(resource.attributes))
    job, namespace = texts.get("service.name", ""), texts.get("service.namespace", "")
    return {
        "instance": texts.get("service.instance.id", ""),
        "job": f"{namespace}/{job}" if job and namespace else job,
    }


def _scope(message: bytes) -> dict[str, str]:
    scope = Scope.FromString(message)
    pairs = [("otel_scope_" + key, text) for key, text in _pairs(scope.attributes)]
    name, version = scope.name.decode(), scope.version.decode()
    return _labels(pairs) | {"otel_scope_name": name, "otel_scope_version": version}


def _read_metric(metric: Any, resource: Any, scope: bytes | None, expected: Expected) -> None:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    inner = getattr(metric, kind)
    is_counter = kind == "sum" and inner.is_monotonic
    counts = kind not in {"gauge", "sum"} or is_counter
    has_temporality = kind not in {"gauge", "summary"}
    temporality = inner.aggregation_temporality if has_temporality else CUMULATIVE
    for point in inner.data_points:
        is_stale = bool(point.flags & 1)
        given = list(_PARTS[kind](point)) if point.time_unix_nano else [None]
        parts = [part for part in given if part is not None]
        if None in given or temporality not in {DELTA, CUMULATIVE}:
            expected.n_refused += 1
            continue
        name = metric_name(
            metric.name.decode(),
            metric.unit.decode(),
            is_gauge=kind == "gauge",
            is_counter=is_counter,
        )
        labels = _labels(_pairs(point.attributes))
        labels |= (_scope(scope) if scope is not None else {}) | _identity(resource)
        for suffix, more, value, is_count in parts:
            whole = labels | {"__name__": name + suffix} | more
            start: int | None = 0
            if counts and is_count:
                start = point.start_time_unix_nano // 10**6 if not is_stale else 0
                start = None if temporality == DELTA else start
            bits = STALE if is_stale else struct.unpack("<Q", struct.pack("<d", value))[0]
            shown = {key: text for key, text in whole.items() if text}
            expected.samples.append((shown, point.time_unix_nano // 10**6, bits, start))


Part = tuple[str, dict[str, str], float, bool] | None


def _number(point: Any) -> Iterator[Part]:
    kind = point.WhichOneof("value")
    if kind is None and not point.flags & 1:
        yield None
        return
    yield "", {}, float(getattr(point, kind)) if kind else 0.0, True


def _totals(point: Any, *, has_sum: bool) -> Iterator[Part]:
    yield "_count", {}, float(point.count), True
    if has_sum or point.flags & 1:
        yield "_sum", {}, point.sum, True


def _histogram(point: Any) -> Iterator[Part]:
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if max(len(bounds), len(counts)) > MAX_BUCKETS:
        yield None
        return
    is_ordered = bounds == sorted(set(bounds)) and not any(math.isnan(one) for one in bounds)
    has_buckets = bool(bounds or counts)
    if (has_buckets and len(counts) != len(bounds) + 1) or not is_ordered or -math.inf in bounds:
        yield None
        return
    for bound, total in zip(bounds, accumulate(counts), strict=False):
        if bound < math.inf:
            yield "_bucket", {"le": _decimal(bound)}, float(total % 2**64), True
    if has_buckets or point.flags & 1:
        yield "_bucket", {"le": "+Inf"}, float(point.count), True
    yield from _totals(point, has_sum=point.HasField("sum"))


def _exponential(point: Any) -> Iterator[Part]:
    n_buckets = (len(point.positive.bucket_counts), len(point.negative.bucket_counts))
    if abs(point.scale) > 32 or max(n_buckets) > MAX_BUCKETS:
        yield None
        return
    below: dict[float, int] = {}  # values at or below a bound, beside those below a lesser one
    minus, plus = _joined(point.negative, point.scale), _joined(point.positive, point.scale)
    for index, count, scale in reversed(minus):
        below.setdefault(0.0 - _bound(index + 1, scale), 0)
        bound = 0.0 - _bound(index, scale)
        below[bound] = below.get(bound, 0) + count
    if point.zero_count or any(count for _, count, _ in minus):
        threshold = point.zero_threshold
        below[threshold] = below.get(threshold, 0) + point.zero_count
    for index, count, scale in plus:
        below.setdefault(_bound(index, scale), 0)
        bound = _bound(index + 1, scale)
        below[bound] = below.get(bound, 0) + count
    for bound, total in zip(below, accumulate(below.values()), strict=True):
        if -math.inf < bound < math.inf:
            yield "_bucket", {"le": _decimal(bound)}, float(total), True
    yield "_bucket", {"le": "+Inf"}, float(point.count), True
    yield from _totals(point, has_sum=point.HasField("sum"))


def _joined(buckets: Any, scale: int) -> list[tuple[int, int, int]]:
    """Return (index, count, scale) of the joined buckets from the first to the last that counts."""
    found = {buckets.offset + at: count for at, count in enumerate(buckets.bucket_counts) if count}
    shift = max(scale - MAX_SCALE, 0)
    while found and (max(found) >> shift) - (min(found) >> shift) >= MAX_BOUNDS:
        shift += 1
    if not found:
        return []
    joined = dict.fromkeys(range(min(found) >> shift, (max(found) >> shift) + 1), 0)
    for index, count in found.items():
        joined[index >> shift] += count
    return [(index, count, scale - shift) for index, count in joined.items()]


def _bound(index: int, scale: int) -> float:
    try:
        if scale < 0:
            return 2.0 ** (index << -scale)
        whole, part = divmod(index, 1 << scale)
        return float(math.ldexp(2.0 ** (part / (1 << scale)), whole))
    except OverflowError:
        return math.inf


def _summary(point: Any) -> Iterator[Part]:
    yield from _totals(point, has_sum=True)
    for one in point.quantile_values:
        yield "", {"quantile": _decimal(one.quantile)}, one.value, False


_PARTS = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}


def _labels(pairs: list[tuple[str, str]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, text in sorted(pairs, key=lambda pair: pair[0]):
        name = label_name(key)
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return {name: text for name, text in labels.items() if text}


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, float):
        return _decimal(plain)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _plain(value: Any) -> Any:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value.decode()
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return {one.key.decode(): _plain(one.value) for one in value.kvlist_value.values}
        case "bool_value" | "int_value" | "double_value" as kind:
            return getattr(value, kind)
        case _:
            return None


def _decimal(number: float) -> str:
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")

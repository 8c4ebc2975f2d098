"""OTLP metrics as JSON: turned into protobuf's wire bytes, so that one walk reads both.

OTLP specification, "JSON Protobuf Encoding": protobuf's JSON mapping with integers for enums. What
else that mapping allows is taken, too: names with underscores, names of enums, numbers in quotes.
Only what the walk has a use for is written, so ids of traces and spans are passed over.
"""

from typing import Any

import msgspec

from pipeline.errors import MalformedBody
from pipeline.otlp.json_values import (
    Message,
    Wrong,
    base64_text,
    double,
    encode,
    fixed,
    int64,
    many,
    message,
    one,
    packed,
    plain,
    signed_fixed,
    sint32,
    string,
    truth,
    uint32,
    uint64,
)
from pipeline.wire import FIXED_64, VARINT

_TEMPORALITIES = {
    f"AGGREGATION_TEMPORALITY_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))
}


def to_protobuf(body: bytes | memoryview) -> bytes:
    """Return a JSON body as an ExportMetricsServiceRequest on the wire. Raises MalformedBody."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"not JSON: {error}") from None
    try:
        return encode(_REQUEST, request)
    except Wrong as wrong:
        raise MalformedBody(f"{''.join(wrong.path).lstrip('.') or 'body'}: {wrong}") from None
    except RecursionError:
        raise MalformedBody("attributes nested too deep") from None


def _temporality(value: Any) -> bytes:
    number = _TEMPORALITIES.get(value, value) if isinstance(value, str) else value
    return uint32(number)


# AnyValue, ArrayValue and KeyValueList hold each other.
_ANY_VALUE: Message = {}
_KEY_VALUE = message({"key": string(1), "value": one(2, _ANY_VALUE)})
_ANY_VALUE |= message(
    {
        "string_value": string(1),
        "bool_value": plain(2, VARINT, truth),
        "int_value": plain(3, VARINT, int64),
        "double_value": plain(4, FIXED_64, double),
        "array_value": one(5, message({"values": many(1, _ANY_VALUE)})),
        "kvlist_value": one(6, message({"values": many(1, _KEY_VALUE)})),
        "bytes_value": string(7, base64_text),
    }
)
_TIMES = {
    "start_time_unix_nano": plain(2, FIXED_64, fixed),
    "time_unix_nano": plain(3, FIXED_64, fixed),
}
_COUNT_AND_SUM = {
    "count": plain(4, FIXED_64, fixed),
    "sum": plain(5, FIXED_64, double),
}
_NUMBER = message(
    {
        **_TIMES,
        "as_double": plain(4, FIXED_64, double),
        "as_int": plain(6, FIXED_64, signed_fixed),
        "attributes": many(7, _KEY_VALUE),
        "flags": plain(8, VARINT, uint32),
    }
)
_HISTOGRAM_POINT = message(
    {
        **_TIMES,
        **_COUNT_AND_SUM,
        "bucket_counts": packed(6, fixed),
        "explicit_bounds": packed(7, double),
        "attributes": many(9, _KEY_VALUE),
        "flags": plain(10, VARINT, uint32),
    }
)
_BUCKETS = message({"offset": plain(1, VARINT, sint32), "bucket_counts": packed(2, uint64)})
_EXPONENTIAL_POINT = message(
    {
        "attributes": many(1, _KEY_VALUE),
        **_TIMES,
        **_COUNT_AND_SUM,
        "scale": plain(6, VARINT, sint32),
        "zero_count": plain(7, FIXED_64, fixed),
        "positive": one(8, _BUCKETS),
        "negative": one(9, _BUCKETS),
        "flags": plain(10, VARINT, uint32),
        "zero_threshold": plain(14, FIXED_64, double),
    }
)
_QUANTILE = message({"quantile": plain(1, FIXED_64, double), "value": plain(2, FIXED_64, double)})
_SUMMARY_POINT = message(
    {
        **_TIMES,
        **_COUNT_AND_SUM,
        "quantile_values": many(6, _QUANTILE),
        "attributes": many(7, _KEY_VALUE),
        "flags": plain(8, VARINT, uint32),
    }
)


def _points(point: Message, *, has_temporality: bool = True) -> Message:
    fields = {"data_points": many(1, point), "is_monotonic": plain(3, VARINT, truth)}
    if has_temporality:
        fields["aggregation_temporality"] = plain(2, VARINT, _temporality)
    return message(fields)


_METRIC = message(
    {
        "name": string(1),
        "unit": string(3),
        "gauge": one(5, _points(_NUMBER, has_temporality=False)),
        "sum": one(7, _points(_NUMBER)),
        "histogram": one(9, _points(_HISTOGRAM_POINT)),
        "exponential_histogram": one(10, _points(_EXPONENTIAL_POINT)),
        "summary": one(11, _points(_SUMMARY_POINT, has_temporality=False)),
    }
)
_SCOPE = message(
    {
        "name": string(1),
        "version": string(2),
        "attributes": many(3, _KEY_VALUE),
    }
)
_RESOURCE_METRICS = message(
    {
        "resource": one(1, message({"attributes": many(1, _KEY_VALUE)})),
        "scope_metrics": many(2, message({"scope": one(1, _SCOPE), "metrics": many(2, _METRIC)})),
    }
)
_REQUEST = message({"resource_metrics": many(1, _RESOURCE_METRICS)})

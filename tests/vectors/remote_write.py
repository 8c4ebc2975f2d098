"""Remote write bodies by the official protobuf runtime; makes remote_write_v1.bin.

Run: python -m tests.vectors.remote_write

The message definitions are those of Prometheus' types.proto, entered as descriptors.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_name("remote_write_v1.bin")

LABELS = [
    {"__name__": "http_requests_total", "code": "200", "instance": "web-1:9100", "job": "api"},
    {"__name__": "temperature_celsius", "room": "Küche"},
    {"__name__": "up"},
]
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
SAMPLES = [
    [(1_700_000_000_000, 1027.0), (1_700_000_015_000, 1028.5)],
    [(1_700_000_000_123, -3.25)],
    [(-1, STALE), (0, 0.0)],
]


_Fields = dict[str, list[tuple[str, int, Any, str | None]]]
_FIELD = descriptor_pb2.FieldDescriptorProto
_DOUBLE, _INT64, _UINT32 = _FIELD.TYPE_DOUBLE, _FIELD.TYPE_INT64, _FIELD.TYPE_UINT32
_STRING, _MESSAGE, _INT32 = _FIELD.TYPE_STRING, _FIELD.TYPE_MESSAGE, _FIELD.TYPE_INT32
_BYTES = _FIELD.TYPE_BYTES

# (name, number, type, message of a repeated field or "*" for a repeated plain one).
_VERSION_1: _Fields = {
    "WriteRequest": [
        ("timeseries", 1, _MESSAGE, "TimeSeries"),
        ("metadata", 3, _MESSAGE, "MetricMetadata"),
    ],
    "TimeSeries": [
        ("labels", 1, _MESSAGE, "Label"),
        ("samples", 2, _MESSAGE, "Sample"),
        ("exemplars", 3, _MESSAGE, "Sample"),
        ("histograms", 4, _MESSAGE, "Sample"),
    ],
    "Label": [("name", 1, _STRING, None), ("value", 2, _STRING, None)],
    "Sample": [("value", 1, _DOUBLE, None), ("timestamp", 2, _INT64, None)],
    "MetricMetadata": [
        ("type", 1, _INT32, None),
        ("metric_family_name", 2, _STRING, None),
        ("help", 4, _STRING, None),
        ("unit", 5, _STRING, None),
    ],
}
_VERSION_2: _Fields = {
    "Request": [("symbols", 4, _STRING, "*"), ("timeseries", 5, _MESSAGE, "TimeSeries")],
    "TimeSeries": [
        ("labels_refs", 1, _UINT32, "*"),
        ("samples", 2, _MESSAGE, "Sample"),
        ("histograms", 3, _MESSAGE, "Sample"),
        ("exemplars", 4, _MESSAGE, "Sample"),
        ("metadata", 5, _MESSAGE, "Metadata"),
        ("created_timestamp", 6, _INT64, None),
    ],
    "Sample": [
        ("value", 1, _DOUBLE, None),
        ("timestamp", 2, _INT64, None),
        ("start_timestamp", 3, _INT64, None),
    ],
    "Metadata": [
        ("type", 1, _INT32, None),
        ("help_ref", 3, _UINT32, None),
        ("unit_ref", 4, _UINT32, None),
    ],
}
# Of which there is one at most.
_SINGULAR = {"Metadata"}
_UNREAD = {"exemplars", "histograms"}


def _message_class(package: str, name: str, definition: _Fields) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    for message_name, fields in definition.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind, target in fields:
            one = message.field.add(name=field_name, number=number, type=kind)
            is_repeated = target is not None and target not in _SINGULAR
            one.label = _FIELD.LABEL_REPEATED if is_repeated else _FIELD.LABEL_OPTIONAL
            if kind == _MESSAGE:
                one.type_name = f".{package}.{target}"
    file.syntax = "proto3"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


WriteRequest = _message_class("prometheus", "WriteRequest", _VERSION_1)
WriteRequest2 = _message_class("io.prometheus.write.v2", "Request", _VERSION_2)


def _lenient(definition: _Fields) -> _Fields:
    """Return the definition with bytes for strings, and for messages that no decoder looks into."""
    return {
        message: [
            (name, number, _BYTES if kind == _STRING or name in _UNREAD else kind, target)
            for name, number, kind, target in fields
        ]
        for message, fields in definition.items()
    }


# As a decoder reads: the runtime refuses a body for one label that is not UTF-8.
LenientRequest = _message_class(
    "prometheus",
    "WriteRequest",
    # One broken message of metadata is passed over, so each is read by itself.
    _lenient(
        _VERSION_1 | {"WriteRequest": [_VERSION_1["WriteRequest"][0], ("metadata", 3, _BYTES, "*")]}
    ),
)
LenientMetadata = _message_class("prometheus", "MetricMetadata", _lenient(_VERSION_1))
LenientRequest2 = _message_class("io.prometheus.write.v2", "Request", _lenient(_VERSION_2))


class Family(NamedTuple):
    """A family of metrics as remote write 1.0 tells of it: a MetricMetadata message."""

    name: str
    type: int = 0
    unit: str = ""
    help: str = ""


def write_request(
    labels: Sequence[dict[str, str]],
    samples: Sequence[list[tuple[int, float]]],
    families: Sequence[Family] = (),
) -> bytes:
    """Return the wire bytes of a WriteRequest with these series and metadata."""
    request = WriteRequest()
    for one in families:
        request.metadata.add(
            type=one.type, metric_family_name=one.name, unit=one.unit, help=one.help
        )
    for of_series, points in zip(labels, samples, strict=True):
        series = request.timeseries.add()
        for name, value in sorted(of_series.items()):
            series.labels.add(name=name, value=value)
        for timestamp, number in points:
            series.samples.add(value=number, timestamp=timestamp)
    encoded: bytes = request.SerializeToString()
    return encoded


class Series2(NamedTuple):
    """A series of remote write 2.0: samples are (time, value, start), type and unit optional."""

    labels: dict[str, str]
    samples: list[tuple[int, float, int]]
    type: int = 0
    unit: str = ""


def write_request_2(all_series: Sequence[Series2]) -> bytes:
    """Return the wire bytes of a write.v2.Request with these series."""
    request = WriteRequest2(symbols=[""])
    symbols = {"": 0}

    def reference(text: str) -> int:
        if text not in symbols:
            symbols[text] = len(symbols)
            request.symbols.append(text)
        return symbols[text]

    for one in all_series:
        series = request.timeseries.add()
        for label in sorted(one.labels.items()):
            series.labels_refs.extend(map(reference, label))
        for timestamp, number, start in one.samples:
            series.samples.add(value=number, timestamp=timestamp, start_timestamp=start)
        if one.type or one.unit:
            series.metadata.type = one.type
            series.metadata.unit_ref = reference(one.unit)
    encoded: bytes = request.SerializeToString()
    return encoded


if __name__ == "__main__":
    FILE.write_bytes(write_request(LABELS, SAMPLES))

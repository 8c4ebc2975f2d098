"""Makes remote_write_v1.bin with the official protobuf runtime.

Run: python -m tests.vectors.remote_write

The message definition is that of the remote write 1.0 specification, entered as a descriptor.
"""

import struct
from pathlib import Path
from typing import Any

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


def _message_class(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="remote.proto", package="prometheus")
    field = descriptor_pb2.FieldDescriptorProto
    definition: dict[str, list[tuple[str, int, Any, str | None]]] = {
        "WriteRequest": [("timeseries", 1, field.TYPE_MESSAGE, "TimeSeries")],
        "TimeSeries": [
            ("labels", 1, field.TYPE_MESSAGE, "Label"),
            ("samples", 2, field.TYPE_MESSAGE, "Sample"),
        ],
        "Label": [("name", 1, field.TYPE_STRING, None), ("value", 2, field.TYPE_STRING, None)],
        "Sample": [("value", 1, field.TYPE_DOUBLE, None), ("timestamp", 2, field.TYPE_INT64, None)],
    }
    for message_name, fields in definition.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind, target in fields:
            one = message.field.add(name=field_name, number=number, type=kind)
            one.label = field.LABEL_REPEATED if target else field.LABEL_OPTIONAL
            if target:
                one.type_name = f".prometheus.{target}"
    file.syntax = "proto3"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"prometheus.{name}"))


def write_request(labels: list[dict[str, str]], samples: list[list[tuple[int, float]]]) -> bytes:
    """Return the wire bytes of a WriteRequest with these series."""
    request = _message_class("WriteRequest")()
    for of_series, points in zip(labels, samples, strict=True):
        series = request.timeseries.add()
        for name, value in sorted(of_series.items()):
            series.labels.add(name=name, value=value)
        for timestamp, number in points:
            series.samples.add(value=number, timestamp=timestamp)
    encoded: bytes = request.SerializeToString()
    return encoded


if __name__ == "__main__":
    FILE.write_bytes(write_request(LABELS, SAMPLES))

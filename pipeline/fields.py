"""Fields of a protobuf message, for the few messages that are not worth compiling."""

from collections.abc import Iterator
from typing import Any

from pipeline.errors import MalformedBody
from pipeline.wire import BYTES, FIXED_32, FIXED_64, VARINT

_SIZES = {FIXED_64: 8, FIXED_32: 4}


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield tag and value of each field: an integer for a varint, or else bytes.

    Raises MalformedBody.
    """
    at, end = 0, len(message)
    while at < end:
        # Most numbers here take a byte.
        tag = message[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(message, at - 1)
        wire_type = tag & 7
        if tag >> 3 == 0 or tag > 0xFFFFFFFF:
            raise MalformedBody(f"protobuf field with the tag {tag}")
        if wire_type == VARINT:
            value, at = _varint(message, at)
            yield tag, value
            continue
        if wire_type == BYTES:
            size, at = _varint(message, at)
        elif wire_type in _SIZES:
            size = _SIZES[wire_type]
        else:
            raise MalformedBody(f"protobuf field of the wire type {wire_type}")
        if size > end - at:
            raise MalformedBody(f"protobuf field of {size} bytes where {end - at} are left")
        yield tag, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise MalformedBody("protobuf message that ends in the middle of a number")

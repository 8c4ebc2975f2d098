"""Fields of protobuf messages from values of JSON, by protobuf's JSON mapping."""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pipeline.wire import BYTES

# From a value to the bytes of its field, tag and all; and the fields of a message by name.
Field = Callable[[Any], bytes]
Message = dict[str, Field]

_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Wrong(Exception):
    """A value is not what its field wants; path leads to it."""

    def __init__(self, wanted: str, value: Any) -> None:
        shown = msgspec.json.encode(value)[:60].decode(errors="replace")
        super().__init__(f"{wanted} is wanted, not {shown}")
        self.path: list[str] = []


def encode(message: Message, value: Any) -> bytes:
    """Return a JSON object as a message on the wire. Raises Wrong."""
    if not isinstance(value, dict):
        raise Wrong("an object", value)
    parts = []
    for name, item in value.items():
        field = message.get(name)
        # Unknown fields are ignored, and null is as good as nothing.
        if field is None or item is None:
            continue
        try:
            parts.append(field(item))
        except Wrong as wrong:
            wrong.path.insert(0, f".{name}")
            raise
    return b"".join(parts)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _sized(number: int) -> Callable[[bytes], bytes]:
    tag = _varint(number << 3 | BYTES)
    return lambda text: tag + _varint(len(text)) + text


def one(number: int, message: Message) -> Field:
    """Return the field of a submessage."""
    sized = _sized(number)
    return lambda value: sized(encode(message, value))


def _items(value: Any, encode: Callable[[Any], bytes]) -> list[bytes]:
    if not isinstance(value, list):
        raise Wrong("a list", value)
    parts = []
    for at, item in enumerate(value):
        try:
            parts.append(encode(item))
        except Wrong as wrong:
            wrong.path.insert(0, f"[{at}]")
            raise
    return parts


def many(number: int, message: Message) -> Field:
    """Return the field of a repeated submessage."""
    item = one(number, message)
    return lambda value: b"".join(_items(value, item))


def packed(number: int, encode: Callable[[Any], bytes]) -> Field:
    """Return the field of a repeated number."""
    sized = _sized(number)
    return lambda value: sized(b"".join(_items(value, encode)))


def plain(number: int, wire_type: int, encode: Callable[[Any], bytes]) -> Field:
    """Return the field of one number."""
    tag = _varint(number << 3 | wire_type)
    return lambda value: tag + encode(value)


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Wrong("a string", value)
    return value.encode()


def string(number: int, encode: Callable[[Any], bytes] = _text) -> Field:
    """Return the field of a string, or of what else is sized bytes."""
    sized = _sized(number)
    return lambda value: sized(encode(value))


def base64_text(value: Any) -> bytes:
    """Encode bytes given in base64."""
    try:
        # Both alphabets, padded or not.
        text = _text(value).translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise Wrong("base64", value) from None


def _integer(value: Any, low: int, high: int) -> int:
    """Return an integer given as one, in quotes or as a float without a fraction."""
    wanted = f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong(wanted, value)
    if isinstance(value, float) and not value.is_integer():
        raise Wrong(wanted, value)
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise Wrong(wanted, value)
    number = int(value)
    if not low <= number <= high:
        raise Wrong(wanted, value)
    return number


def double(value: Any) -> bytes:
    """Encode a double."""
    if isinstance(value, str) and value in _NOT_FINITE:
        return struct.pack("<d", _NOT_FINITE[value])
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong("a number", value)
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise Wrong("a number", value)
    try:
        number = float(value)
    except OverflowError:  # of an integer; a text becomes infinite
        number = math.inf
    if math.isinf(number):
        raise Wrong("a number within the range of a double", value)
    return struct.pack("<d", number)


def truth(value: Any) -> bytes:
    """Encode a bool."""
    if not isinstance(value, bool):
        raise Wrong("true or false", value)
    return bytes([value])


def uint32(value: Any) -> bytes:
    """Encode a uint32 or an enum."""
    return _varint(_integer(value, 0, (1 << 32) - 1))


def uint64(value: Any) -> bytes:
    """Encode a uint64."""
    return _varint(_integer(value, 0, (1 << 64) - 1))


def int64(value: Any) -> bytes:
    """Encode an int64."""
    return _varint(_integer(value, -(1 << 63), (1 << 63) - 1) & 0xFFFF_FFFF_FFFF_FFFF)


def sint32(value: Any) -> bytes:
    """Encode a sint32."""
    number = _integer(value, -(1 << 31), (1 << 31) - 1)
    return _varint(((number << 1) ^ (number >> 31)) & 0xFFFFFFFF)


def fixed(value: Any) -> bytes:
    """Encode a fixed64."""
    return struct.pack("<Q", _integer(value, 0, (1 << 64) - 1))


def signed_fixed(value: Any) -> bytes:
    """Encode a sfixed64."""
    return struct.pack("<q", _integer(value, -(1 << 63), (1 << 63) - 1))


def message(fields: Mapping[str, Field]) -> Message:
    """Return a message's fields, each by its name in lower camel case, too."""
    both = dict(fields)
    for name, field in fields.items():
        first, *rest = name.split("_")
        both[first + "".join(word.capitalize() for word in rest)] = field
    return both

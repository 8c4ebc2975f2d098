"""Attributes of OTLP: KeyValues and AnyValues from their wire bytes (common.proto), and as text."""

import base64
import json
import math
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pipeline.errors import MalformedBody
from pipeline.fields import fields
from pipeline.wire import BYTES, FIXED_64, VARINT

_MAX_DEPTH = 20
# Tags of AnyValue, and of what ArrayValue holds.
_ARRAY, _KEY_VALUES = 5 << 3 | BYTES, 6 << 3 | BYTES
_VALUES = 1 << 3 | BYTES

Pairs = list[tuple[str, Any]]


class BadText(ValueError):
    """A name, a key or a value is not UTF-8."""


def attributes(message: bytes, number: int, depth: int = 0) -> Pairs:
    """Return the KeyValues of a field as (key, value), in the order sent."""
    found = []
    for tag, field in fields(message):
        if tag == (number << 3 | BYTES):
            key, value = b"", b""
            for inner, text in fields(field):
                if inner == (1 << 3 | BYTES):
                    key = text
                elif inner == (2 << 3 | BYTES):
                    value += text  # what protobuf means by a message that stands twice
            found.append((decoded(key), _any_value(value, depth)))
    return found


def _any_value(message: bytes, depth: int) -> Any:
    """Return an AnyValue as what JSON would have, bytes in base64, and None for none."""
    if depth > _MAX_DEPTH:
        raise MalformedBody(f"attributes nested deeper than {_MAX_DEPTH}")
    found: Any = None
    for tag, value in fields(message):
        if tag == _ARRAY:
            inner = (item for at, item in fields(value) if at == _VALUES)
            found = [_any_value(item, depth + 1) for item in inner]
        elif tag == _KEY_VALUES:
            found = dict(attributes(value, 1, depth + 1))
        elif tag in _PLAIN:
            found = _PLAIN[tag](value)
    return found


def as_text(value: Any) -> str:
    """Return an attribute's value as a label has it: strings as they are, the rest as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case float():
            return number_text(value)
        case int() if value is not True and value is not False:
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def number_text(number: float) -> str:
    """Return the shortest decimal that is this number, without exponent: 10, 0.005, +Inf."""
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def decoded(text: bytes) -> str:
    """Return the text of a protobuf string. Raises BadText."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise BadText from None


_PLAIN: dict[int, Callable[[Any], Any]] = {
    1 << 3 | BYTES: decoded,
    2 << 3 | VARINT: bool,
    3 << 3 | VARINT: lambda word: word - (1 << 64) if word >> 63 else word,
    4 << 3 | FIXED_64: lambda word: struct.unpack("<d", word)[0],
    7 << 3 | BYTES: lambda text: base64.b64encode(text).decode(),
}

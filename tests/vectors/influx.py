"""A slow plain parser of Influx line protocol, to compare with."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Of a line, from its start: measurement and tags, then a field, then the timestamp.
_KEY = re.compile(r"(?:[^ \n\\]|\\[^\n]|\\(?=\n|$))*")
_FIELD = re.compile(r"((?:[^ ,=\n\\]|\\[^\n]|\\(?=\n|$))+)=")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_VALUE = re.compile(r"[^, \n\r]*")
_TIME = re.compile(r" *(-?[0-9]*)[ \t\r]*(?=\n|$)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE, _FALSE = {"t", "T", "true", "True", "TRUE"}, {"f", "F", "false", "False", "FALSE"}
_PER_MS = {"ns": 10**6, "us": 10**3, "ms": 1}


@dataclass(slots=True)
class Parsed:
    """samples: (labels, time in ms or None, value). bad: numbers of the lines refused."""

    samples: list[tuple[dict[str, str], int | None, float]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    n_strings: int = 0


class BadLine(Exception):
    """at: where reading ended; strings before it may hold newlines, so the line may be long."""

    def __init__(self, at: int) -> None:
        self.at = at


def parse(text: str, precision: str = "ns") -> Parsed:
    parsed = Parsed()
    at, number = 0, 1
    while at < len(text):
        if text[at] in " \t\r\n":
            number += text[at] == "\n"
            at += 1
        elif text[at] == "#":
            at = _end_of_line(text, at)
        else:
            start = at
            try:
                at, samples, n_strings = _line(text, at, precision)
                parsed.n_strings += n_strings
                # A decimal beyond all floats is a number by its form, so the line has been read.
                if any(math.isinf(value) for _, _, value in samples):
                    parsed.bad.append(number)
                else:
                    parsed.samples += samples
            except BadLine as bad:
                at = _end_of_line(text, bad.at)
                parsed.bad.append(number)
            number += text.count("\n", start, at)
    return parsed


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


Samples = list[tuple[dict[str, str], int | None, float]]


def _line(text: str, at: int, precision: str) -> tuple[int, Samples, int]:
    if text[at] == ",":
        raise BadLine(at)
    match = _KEY.match(text, at)
    assert match is not None
    measurement, *tags = _parts(match[0])
    at = match.end()
    while text[at : at + 1] == " ":
        at += 1
    fields: list[tuple[str, float]] = []
    n_strings = 0
    while True:
        name, value, at = _field(text, at)
        if value is None:
            n_strings += 1
        else:
            fields.append((name, value))
        if text[at : at + 1] != ",":
            break
        at += 1
    time_ms, at = _end(text, at, precision)
    labels = dict(map(_tag, tags))
    samples = []
    for name, value in fields:
        metric = _plain(measurement) + (f"_{name}" if name != "value" else "")
        samples.append(({"__name__": _name(metric)} | labels, time_ms, value))
    return at, samples, n_strings


def _field(text: str, at: int) -> tuple[str, float | None, int]:
    """Return name and value of a field, None for a string, and where it ends."""
    name = _FIELD.match(text, at)
    if name is None:
        raise BadLine(at)
    at = name.end()
    if text[at : at + 1] != '"':
        value = _VALUE.match(text, at)
        assert value is not None
        return _plain(name[1]), _number(value[0], at), value.end()
    string = _STRING.match(text, at)
    if string is None:
        raise BadLine(at)
    end = string.end()
    if "\n" in string[0] and text[end : end + 1] not in {"", ",", " ", "\n", "\r"}:
        raise BadLine(at)
    return _plain(name[1]), None, end


def _end(text: str, at: int, precision: str) -> tuple[int | None, int]:
    """Return the timestamp in ms, and where the line ends."""
    if text[at : at + 1] not in {"", " ", "\n", "\r"}:
        raise BadLine(at)
    time = _TIME.match(text, at)
    if time is None or time[1] == "-":
        raise BadLine(at)
    return _time(time[1], precision, at) if time[1] else None, time.end()


def _parts(key: str) -> Iterator[str]:
    part, escaped = "", False
    for byte in key:
        if byte == "," and not escaped:
            yield part
            part = ""
            continue
        escaped = byte == "\\" and not escaped
        part += byte
    yield part


def _tag(part: str) -> tuple[str, str]:
    name, escaped = "", False
    for at, byte in enumerate(part):
        if byte == "=" and not escaped:
            return _name(_plain(name)), _plain(part[at + 1 :])
        escaped = byte == "\\" and not escaped
        name += byte
    return _plain(name), ""


def _plain(text: str) -> str:
    return re.sub(r"\\([\\,= ])", r"\1", text)


def _name(text: str) -> str:
    name = "".join(
        c if (c.isascii() and (c.isalnum() or c in "_:./-")) or ord(c) > 127 else "_" for c in text
    )
    return "_" + name if name[:1] in set("0123456789./-") else name


def _number(text: str, at: int) -> float:
    if text in _TRUE:
        return 1.0
    if text in _FALSE:
        return 0.0
    if re.fullmatch(r"[+-]?[0-9]+i", text) and -(2**63) <= int(text[:-1]) < 2**63:
        return float(int(text[:-1]))
    if re.fullmatch(r"\+?[0-9]+u", text) and int(text[:-1]) < 2**64:
        return float(int(text[:-1]))
    if _DECIMAL.fullmatch(text):
        return float(text)
    raise BadLine(at)


def _time(text: str, precision: str, at: int) -> int:
    number = int(text)
    limit = (2**63 - 1) // 1000 if precision == "s" else 2**63 - 1
    if abs(number) > limit:
        raise BadLine(at)
    return number * 1000 if precision == "s" else number // _PER_MS[precision]

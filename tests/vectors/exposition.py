"""A slow plain parser of text exposition, to compare with."""

import math
import re
from dataclasses import dataclass, field

_KEY = re.compile(r'([^ \t{]*)[ \t]*(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?')
_REST = re.compile(r"[ \t]*([^ \t]*)(?:[ \t]+([^ \t#][^ \t]*))?(?:[ \t]+(#.*)|[ \t]*)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_COMMENT = re.compile(r"#[ \t]*(TYPE|UNIT|HELP)[ \t]+([^ \t]+)(?:[ \t]+([^ \t]*))?.*")
_SUFFIXES = ("_created", "_total", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum")
_TYPES = {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}


class Bad(Exception):
    pass


@dataclass(slots=True)
class Family:
    name: str
    type: str = "unknown"
    unit: str = ""


@dataclass(slots=True)
class Parsed:
    """samples: labels, time in ms or None, value, type, unit. bad: numbers of refused lines."""

    samples: list[tuple[dict[str, str], int | None, float, str, str]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    n_exemplars: int = 0


def parse(text: str, *, is_open_metrics: bool) -> Parsed:
    parsed = Parsed()
    family = Family("")
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.strip(" \t\r")
        if line.startswith("#"):
            family = _comment(line, family)
        elif line:
            try:
                _sample(line, family, parsed, is_open_metrics=is_open_metrics)
            except Bad:
                parsed.bad.append(number)
    return parsed


def _comment(line: str, family: Family) -> Family:
    match = _COMMENT.fullmatch(line)
    if match is None:
        return family
    keyword, name, word = match.groups()
    if name != family.name:
        family = Family(name)
    if keyword == "TYPE":
        family.type = word if word in _TYPES else "unknown"
    elif keyword == "UNIT":
        family.unit = word or ""
    return family


def _sample(line: str, family: Family, parsed: Parsed, *, is_open_metrics: bool) -> None:
    key = _KEY.match(line)
    rest = key and _REST.fullmatch(line, key.end())
    if key is None or rest is None or ("{" in line[len(key[1]) :].lstrip()[:1] and not key[2]):
        raise Bad
    word, time, exemplar = rest.groups()
    value = _number(word)
    time_ms = None if time is None else _time_ms(time, is_open_metrics=is_open_metrics)
    if exemplar and not is_open_metrics:
        raise Bad
    suffix = key[1].removeprefix(family.name) if key[1].startswith(family.name) else None
    is_of_family = bool(family.name) and (suffix == "" or suffix in _SUFFIXES)
    kind, unit = (family.type, family.unit) if is_of_family else ("unknown", "")
    parsed.n_exemplars += exemplar is not None
    is_created = is_of_family and suffix == "_created"
    if not (is_created and kind in {"counter", "histogram", "summary"}):
        parsed.samples.append((_labels(key[1], key[2] or "{}"), time_ms, value, kind, unit))


def _number(word: str) -> float:
    if _SPECIAL.fullmatch(word):
        return float(word)
    if not _DECIMAL.fullmatch(word) or math.isinf(float(word)):
        raise Bad
    return float(word)


def _time_ms(word: str, *, is_open_metrics: bool) -> int:
    if is_open_metrics:
        if not _DECIMAL.fullmatch(word) or not abs(float(word) * 1000) < 2**62:
            raise Bad
        return round(float(word) * 1000)
    if not re.fullmatch(r"-?[0-9]+", word) or abs(int(word)) >= 2**63:
        raise Bad
    return int(word)


def _labels(name: str, braces: str) -> dict[str, str]:
    labels = {"__name__": name} if name else {}
    at, inner = 0, braces[1:-1].rstrip(" \t")
    while at < len(inner):
        at, label, is_quoted = _word(inner, at)
        if at < len(inner) and inner[at] == "=":
            at, value, is_value = _word(inner, at + 1)
            if not is_value:
                raise Bad
        elif is_quoted:
            label, value = "__name__", label
        else:
            raise Bad
        if label in labels or not label or (at < len(inner) and inner[at] != ","):
            raise Bad
        labels[label] = value
        at += 1
    return {label: value for label, value in labels.items() if value}


def _word(text: str, at: int) -> tuple[int, str, bool]:
    """Return the place behind a word and the blanks after it, the word, and if it was quoted."""
    while text[at : at + 1] in {" ", "\t"}:
        at += 1
    is_quoted = text[at : at + 1] == '"'
    found = ""
    if is_quoted:
        at += 1
        while at < len(text) and text[at] != '"':
            escaped = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}.get(text[at : at + 2])
            found += escaped or text[at]
            at += 2 if escaped else 1
        at += 1
    else:
        while at < len(text) and text[at] not in ' \t=,"':
            found += text[at]
            at += 1
    while text[at : at + 1] in {" ", "\t"}:
        at += 1
    return at, found, is_quoted

"""JSON points as a whole parser reads them: one by one, or a body that the compiled pass does not.

What it says of a point is what counts; pipeline/json_walk.py only says it sooner.
"""

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
import numpy as np

from pipeline.admission import Limits, Reason, find_fault
from pipeline.errors import MalformedBody
from pipeline.json_times import EXPECTED_TIME
from pipeline.json_walk import may_have_twins
from schemas.series import METRIC_LABEL, Announcement, MetricType

EXPECTED = (
    '{"metrics": [{"name": "cpu", "value": 1.5, "timestamp"?: ms or RFC 3339, '
    '"labels"?: {"host": "a"}}]}, '
    "the list alone, or one such point a line"
)

_SURE_NOT_LINES = re.compile(rb'\s*(\[|\{\s*("metrics"|\n))')
_MOST_LINES_TRIED = 100

# What msgspec raises for text that is not the JSON it was asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# An escaped backslash, a pair of surrogates, and one alone, which is no character.
_ESCAPES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
# In its place: no UTF-8, which costs only the point that holds it.
_NO_CHARACTER = b"\xff" * 6


class Point(msgspec.Struct):
    """One point as sent; labels stay undecoded."""

    name: str
    value: float
    timestamp: int | float | str | None = None
    labels: msgspec.Raw = msgspec.Raw(b"")
    tags: msgspec.Raw = msgspec.Raw(b"")
    type: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    unit: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class _Body(msgspec.Struct):
    metrics: list[msgspec.Raw]


_Pairs = list[tuple[str, Any]]
Buffer = bytes | memoryview | msgspec.Raw

decode_point = msgspec.json.Decoder(Point).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_labels = msgspec.json.Decoder(dict[str, str | int | float | bool] | None).decode
_TYPES = {kind.name.lower(): kind for kind in MetricType}


def split_points(body: Buffer) -> Sequence[Buffer] | None:
    """Return the text of each point of a body, or None where each line is one.

    Raises MalformedBody for anything else.
    """
    try:
        return _split(body)
    except UNREADABLE as error:
        text = bytes(body)
        mended = _ESCAPES.sub(lambda found: found[1] or _NO_CHARACTER, text)
        if mended != text:
            return split_points(mended)
        if _are_lines(text):
            return None
        raise MalformedBody(f"{error}; expected {EXPECTED}") from None


def _split(body: Buffer) -> Sequence[Buffer]:
    if bytes(body[:64]).lstrip()[:1] == b"[":
        return _decode_list(body)
    return _decode_body(body).metrics


def _are_lines(text: bytes) -> bool:
    """Return whether a body that is no JSON has a point on some of its first lines.

    Not where it begins as a list of points does: each on a line of its own, the last is one, too.
    """
    if _SURE_NOT_LINES.match(text):
        return False
    lines = (line for line in text.split(b"\n", 2 * _MOST_LINES_TRIED) if line.strip())
    return any(map(_is_point, islice(lines, _MOST_LINES_TRIED)))


def _is_point(line: bytes) -> bool:
    try:
        members = _decode_object(line)
    except UNREADABLE:
        return False
    return "name" in members and "metrics" not in members


def find_twice(text: Buffer) -> tuple[Reason, str] | None:
    """Return why a point is refused in which a member or label stands twice, or None."""
    if not may_have_twins(np.frombuffer(text, dtype=np.uint8)):
        return None
    pairs: list[_Pairs] = []

    def keep(found: _Pairs) -> _Pairs:
        pairs.append(found)
        return found

    try:
        json.loads(bytes(text), object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return None  # what is no JSON is refused in other words
    # An object's members are told after those of what is in it.
    for found in reversed(pairs):
        names = [name for name, _ in found]
        if len(set(names)) < len(names):
            name = next(one for at, one in enumerate(names) if one in names[:at])
            is_point = found is pairs[-1]
            reason = Reason.BAD_SAMPLE if is_point else Reason.BAD_LABELS
            return reason, f"{'member' if is_point else 'label'} {name[:60]!r} stands twice"
    return None


def explain(error: Exception) -> tuple[Reason, str]:
    """Return reason and words for a point that cannot be read."""
    message = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Reason.BAD_SAMPLE, "text that is not UTF-8, or half of a surrogate pair"
    if "`$.value`" in message or "field `value`" in message or "out of range" in message:
        return Reason.NOT_A_NUMBER, message
    if "`$.name`" in message or "field `name`" in message:
        return Reason.BAD_NAME, message
    if "`$.timestamp`" in message:
        return Reason.BAD_TIMESTAMP, f"{message}; {EXPECTED_TIME}"
    return Reason.BAD_SAMPLE, message


def find_point_fault(point: Point, limits: Limits) -> tuple[Reason, str] | None:
    """Return why a point's series is refused, or None."""
    try:
        labels = labels_of_point(point)
        twin = _find_twin(point)
    except UNREADABLE as error:
        return Reason.BAD_LABELS, f"{point.name}: labels: {explain(error)[1]}"
    if twin is not None:
        words = f"label {twin[:60]!r} stands twice, with one value in labels and another in tags"
        return Reason.BAD_LABELS, f"{point.name}: {words}"
    if labels[METRIC_LABEL] != point.name:
        return Reason.BAD_LABELS, f"{point.name}: label {METRIC_LABEL} is given by the point's name"
    return find_fault(list(labels.items()), limits)


def labels_of_point(point: Point) -> dict[str, str]:
    """Return a point's labels, and tags, with its name; empty values are dropped.

    Raises msgspec.DecodeError or UnicodeDecodeError where they are no object of plain values.
    """
    merged = _texts(point.tags) | _texts(point.labels)
    # An empty value means "no such label", as in Prometheus.
    return {METRIC_LABEL: point.name} | {name: value for name, value in merged.items() if value}


def _find_twin(point: Point) -> str | None:
    """Return a label that has one value in `labels` and another in `tags`."""
    if not point.tags or not point.labels:
        return None
    tags, labels = _texts(point.tags), _texts(point.labels)
    return next((one for one in tags if labels.get(one, tags[one]) != tags[one]), None)


def _texts(labels: msgspec.Raw) -> dict[str, str]:
    found = (_decode_labels(labels) if labels else None) or {}
    return {name: _as_text(value) for name, value in found.items()}


def announcement_of_point(series_id: int, point: Point) -> Announcement:
    """Return what topic `series` is told of a point's series."""
    kind = _TYPES.get((point.type or "").lower(), MetricType.UNKNOWN)
    return Announcement(series_id, labels_of_point(point), kind, point.unit or "")


def _as_text(value: str | float | bool) -> str:  # noqa: FBT001 - a label's value as JSON has it
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

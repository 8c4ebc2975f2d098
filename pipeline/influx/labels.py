"""Labels of series in Influx line protocol: from measurement, tags and field, for new series.

The metric is `measurement_field`, and the measurement alone for the field `value`.
"""

import re

import numpy as np
from numpy.typing import NDArray

from pipeline.influx.lines import Lines
from schemas.series import METRIC_LABEL

_ESCAPED = re.compile(rb"\\([\\,= ])")
# A backslash takes the next byte along.
_TAG_ENDS = re.compile(rb"((?:[^\\,]|\\.|\\$)*)(?:,|$)", re.DOTALL)
_NAME_ENDS = re.compile(rb"((?:[^\\=]|\\.|\\$)*)=(.*)", re.DOTALL)
# What admission refuses in names.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_:./\-\u0080-\U0010ffff]")
_NOT_FIRST = re.compile(r"[0-9./\-]")


class BrokenKey(ValueError):
    """A tag without a name or a value, or text that is not UTF-8; the text says which."""


def labels_of(body: NDArray[np.uint8], lines: Lines, row: int) -> dict[str, str]:
    """Return the labels of a row's series, `__name__` among them. Raises BrokenKey."""
    one = lines.rows[row]
    field = body[one["field_start"] : one["field_end"]].tobytes()
    return labels_of_key(body[one["key_start"] : one["key_end"]].tobytes(), field)


def labels_of_key(key: bytes, field: bytes) -> dict[str, str]:
    """Return the labels for a key (measurement and tags) and a field's name, as sent."""
    measurement, *tags = _split(key)
    metric = _text(measurement)
    field_name = _text(field)
    if field_name != "value":
        metric = f"{metric}_{field_name}"
    labels = {METRIC_LABEL: _as_name(metric)}
    for tag in tags:
        match = _NAME_ENDS.fullmatch(tag)
        if match is None or not match[1] or not match[2]:
            raise BrokenKey(f"tag {tag.decode(errors='replace')!r}: expected name=value")
        name = _as_name(_text(match[1]))
        if name in labels:
            raise BrokenKey(f"tag {name!r} stands twice, or is the metric's name")
        labels[name] = _text(match[2])
    return labels


def _split(key: bytes) -> list[bytes]:
    parts, at = [], 0
    while True:
        match = _TAG_ENDS.match(key, at)
        assert match is not None  # an empty part matches
        parts.append(match[1])
        if match.end() == match.end(1):
            return parts
        at = match.end()


def _text(name: bytes) -> str:
    try:
        return _ESCAPED.sub(rb"\1", name).decode()
    except UnicodeDecodeError:
        raise BrokenKey(f"{name.decode(errors='replace')!r} is not UTF-8") from None


def _as_name(text: str) -> str:
    """Return a name that the store takes: spaces and the like become '_'."""
    name = _NOT_IN_NAMES.sub("_", text)
    return "_" + name if _NOT_FIRST.match(name) else name

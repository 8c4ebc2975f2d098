"""Labels of a line of text exposition, parsed for new series."""

import re
from collections.abc import Mapping

from schemas.series import METRIC_LABEL

# name="value", or "name"="value", or the metric's "name" alone; and a comma or the end.
_LABEL = re.compile(
    rb"[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^ \t=,\"]+))[ \t]*"
    rb"(=[ \t]*\"((?:[^\"\\]|\\.)*)\"[ \t]*)?(?:,|$)",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\([\\\"n])")


class BrokenLabels(ValueError):
    """What stands between braces is not of the form name="value"; the text says where."""


def labels_of_key(key: bytes, shared: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a series, `__name__` among them, those with a value only.

    key: name and labels as sent. shared: labels that all series of the body get, whatever theirs
    of the same names are. Raises BrokenLabels.
    """
    head, brace, rest = key.partition(b"{")
    labels: dict[str, str] = {}
    if name := head.strip(b" \t"):
        labels[METRIC_LABEL] = _text(name)
    if brace:
        _read_labels(rest.rstrip(b" \t")[:-1].rstrip(b" \t"), labels)
    return {name: value for name, value in (labels | dict(shared)).items() if value}


def _read_labels(inner: bytes, labels: dict[str, str]) -> None:
    at = 0
    while at < len(inner):
        match = _LABEL.match(inner, at)
        if match is None:
            raise BrokenLabels(f'at {_shown(inner[at:])}: expected name="value"')
        quoted, plain, has_value, value = match.groups()
        name = _text(plain if quoted is None else _unescaped(quoted))
        if has_value is None:
            if quoted is None:
                raise BrokenLabels(f'label {name!r} has no value: expected {name}="value"')
            name, value = METRIC_LABEL, quoted
        if name in labels:
            raise BrokenLabels(f"label {name!r} stands twice")
        labels[name] = _text(_unescaped(value))
        at = match.end()


def _unescaped(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else match[1], text)


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise BrokenLabels(f"{_shown(text)} is not UTF-8") from None


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))

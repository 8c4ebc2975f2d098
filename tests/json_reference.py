"""What becomes of a JSON point by the words of the README, plainly and slowly."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from pipeline.admission import Limits, find_fault


class Refused(Exception):
    """The point is refused."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The sample of a point."""

    labels: dict[str, str]
    time_ms: int
    value: float


def read_json_reference(point: Any, now_ms: int, limits: Limits) -> Taken | None:
    """Return the sample of a point as json.loads gives it, or None where it is refused."""
    try:
        return _read(point, now_ms, limits)
    except Refused:
        return None


def _read(point: Any, now_ms: int, limits: Limits) -> Taken:
    if not isinstance(point, dict) or not isinstance(point.get("name"), str):
        raise Refused
    value = _number(point.get("value"))
    for name, most in (("type", 64), ("unit", 256)):
        text = point.get(name)
        if text is not None and (not isinstance(text, str) or len(text) > most):
            raise Refused
    time_ms = _time_ms(point.get("timestamp"), now_ms)
    merged = _merged(_labels(point.get("tags")), _labels(point.get("labels")))
    if merged.get("__name__", point["name"]) != point["name"]:
        raise Refused
    labels = {"__name__": point["name"]} | {name: text for name, text in merged.items() if text}
    try:
        if find_fault(list(labels.items()), limits) is not None:
            raise Refused
    except UnicodeEncodeError:
        raise Refused from None
    if not now_ms - limits.retention_ms <= time_ms <= now_ms + limits.max_future_ms:
        raise Refused
    return Taken(labels, time_ms, value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused
    try:
        number = float(value)
    except OverflowError:
        raise Refused from None
    if math.isinf(number):
        raise Refused
    return number


def _labels(labels: Any) -> dict[str, str]:
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise Refused
    return {name: _text(value) for name, value in labels.items()}


def _merged(tags: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    if any(labels.get(name, text) != text for name, text in tags.items()):
        raise Refused
    return tags | labels


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, list | dict):
        raise Refused
    if isinstance(value, float) and math.isinf(value):
        raise Refused
    return str(value)


def _time_ms(time: Any, now_ms: int) -> int:
    if time is None:
        return now_ms
    if isinstance(time, str):
        try:
            moment = datetime.fromisoformat(time.upper())
        except ValueError:
            raise Refused from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    number = _number(time)
    for unit, least in ((10**6, 0), (10**3, 10**11), (1, 10**14), (Fraction(1, 1000), 10**17)):
        if least <= abs(number) < max(1000 * least, 10**11):
            micros = number * unit if isinstance(time, float) else Fraction(time * unit)
            return math.floor(Fraction(round(micros) if isinstance(time, float) else micros) / 1000)
    raise Refused

"""Times on the command line: RFC 3339, or how long ago."""

import re
from datetime import UTC, datetime

FORMS = "RFC 3339 (2026-01-31T08:00:00Z) or how long ago (90s, 15m, 2h, 7d)"
_AGO = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class TimeError(Exception):
    """A text is no time; the message says which forms are."""


def parse_time_ms(text: str, now_ms: int) -> int:
    """Return a time in ms since 1970. Raises TimeError."""
    time_ms = _parse_ms(text, now_ms)
    if time_ms < 0:
        raise TimeError(f"{text!r} is before 1970: give {FORMS}")
    return time_ms


def _parse_ms(text: str, now_ms: int) -> int:
    if ago := _AGO.fullmatch(text.strip()):
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TimeError(f"{text!r} is no time: give {FORMS}") from None
    if time.tzinfo is None:
        raise TimeError(f"{text!r} has no time zone: end it in Z, or in +02:00")
    return round(time.timestamp() * 1000)


def show_time(time_ms: int) -> str:
    """Return a time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_span_s(text: str) -> int:
    """Return a span of time in seconds, given as 90s, 15m, 2h or 7d. Raises TimeError."""
    if not (span := _AGO.fullmatch(text.strip())):
        raise TimeError(f"{text!r} is no span of time: give one like 90s, 15m, 2h or 7d")
    return int(span[1]) * _SECONDS[span[2]]

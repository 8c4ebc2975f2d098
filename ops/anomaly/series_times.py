"""Times as they stand in files: ISO 8601 in its many forms, or an epoch."""

import math
import re
from datetime import UTC, date, datetime, timedelta

# An epoch time above this is in ms, us or ns: as seconds it would be after the year 5000.
_MOST_SECONDS = 1e11
_UTC = re.compile(r"\s*(?:Z|UTC|GMT)$", re.IGNORECASE)
_OFFSET = re.compile(r"\s+([+-]\d{2}(?::?\d{2})?)$")
_MONTH = re.compile(r"\d{4}-\d{2}")
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(?=$|[T ])", re.IGNORECASE)
_END_OF_DAY = re.compile(r"(?<=[T ])24(:?00)(:?00(?:[.,]0+)?)?(?=$|[+-])", re.IGNORECASE)


def parse_time_s(text: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time or an epoch in s, ms, us or ns.

    A time without zone is UTC. Raises ValueError.
    """
    # The form that most files have, first.
    if text[4:5] == "-":
        return _parse_iso_s(text)
    try:
        # Python's float takes 1_000 for a number.
        epoch = float(text.replace("_", "?"))
    except ValueError:
        return _parse_iso_s(text)
    # 20140401 is a date, not August 1970.
    if len(text) == 8 and text.isdigit():
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).timestamp()
    if not math.isfinite(epoch):
        raise ValueError(f"{text!r} is not finite")
    while abs(epoch) > _MOST_SECONDS:
        epoch /= 1000
    return epoch


def _parse_iso_s(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        plain, days = _plain_form(text)
        time = datetime.fromisoformat(plain) + timedelta(days=days)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _plain_form(text: str) -> tuple[str, int]:
    """Return a time in a form that Python reads, and how many days later it is."""
    plain = _OFFSET.sub(r"\1", _UTC.sub("+00:00", text.strip()))
    if _MONTH.fullmatch(plain):
        plain += "-01"
    if day := _DAY_OF_YEAR.match(plain):
        first = date(int(day[1]), 1, 1)
        plain = f"{first + timedelta(days=int(day[2]) - 1)}{plain[day.end() :]}"
    plain, n_ends = _END_OF_DAY.subn(r"00\1\2", plain)
    return plain, n_ends

"""Times that stand in a text as RFC 3339 has them, compiled."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# In compiled code, ord() costs seconds to compile.
_ZERO, _NINE, _MINUS, _PLUS, _COLON, _DOT, _SPACE = (ord(char) for char in "09-+:. ")
_T, _LOWER_T, _Z, _LOWER_Z = (ord(char) for char in "TtZz")
_DAYS_BEFORE_1970 = 719_468
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000


@njit(inline="always")
def _digits(text: NDArray[np.uint8], at: int, n: int) -> Any:
    """Return the number that n digits make, or -1."""
    number: Any = 0
    for k in range(at, at + n):
        if not _ZERO <= text[k] <= _NINE:
            return -1
        number = number * 10 + (np.int64(text[k]) - _ZERO)
    return number


@njit(inline="always")
def _days_of_month(year: int, month: int) -> int:
    if month == 2:
        is_leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
        return 29 if is_leap else 28
    return 30 if month in (4, 6, 9, 11) else 31


@njit(inline="always")
def _days_since_1970(year: int, month: int, day: int) -> int:
    """Return the day's number in the Gregorian calendar; years begin in March for the sum."""
    if month <= 2:
        year -= 1
        month += 12
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - _DAYS_BEFORE_1970


@njit(cache=True, nogil=True)
def parse_rfc3339(text: NDArray[np.uint8], at: int, end: int) -> tuple[bool, int]:
    """Return whether text[at:end] is such a time, and it in ms since 1970, cut to the ms.

    No leap seconds, and of the separators T, t and space.
    """
    if end - at < 20:
        return False, 0
    year, month, day = _digits(text, at, 4), _digits(text, at + 5, 2), _digits(text, at + 8, 2)
    hour, minute = _digits(text, at + 11, 2), _digits(text, at + 14, 2)
    second = _digits(text, at + 17, 2)
    is_apart = text[at + 4] == _MINUS and text[at + 7] == _MINUS
    is_apart = is_apart and text[at + 13] == _COLON and text[at + 16] == _COLON
    if not is_apart or text[at + 10] not in (_T, _LOWER_T, _SPACE):
        return False, 0
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _days_of_month(year, month):
        return False, 0
    if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return False, 0
    time_ms: Any = _days_since_1970(year, month, day) * _DAY_MS + hour * _HOUR_MS
    time_ms += minute * _MINUTE_MS + second * 1000
    at += 19
    if text[at] == _DOT:
        at += 1
        first, scale_ms = at, 100
        while at < end and _ZERO <= text[at] <= _NINE:
            time_ms += (np.int64(text[at]) - _ZERO) * scale_ms
            scale_ms //= 10
            at += 1
        if at == first:
            return False, 0
    if end - at == 1 and text[at] in (_Z, _LOWER_Z):
        return True, time_ms
    if end - at != 6 or text[at] not in (_PLUS, _MINUS) or text[at + 3] != _COLON:
        return False, 0
    hour, minute = _digits(text, at + 1, 2), _digits(text, at + 4, 2)
    if not 0 <= hour <= 23 or not 0 <= minute <= 59:
        return False, 0
    offset_ms = hour * _HOUR_MS + minute * _MINUTE_MS
    return True, time_ms - offset_ms if text[at] == _PLUS else time_ms + offset_ms

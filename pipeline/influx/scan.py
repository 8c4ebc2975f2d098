"""Parts of a line of Influx line protocol, compiled.

Grammar: InfluxData, "Line protocol reference". A backslash takes the next byte along; what it
stands for is worked out where names are read, once a series (pipeline/influx/labels.py).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.text_scan import is_decimal

TAB, NEWLINE, RETURN, SPACE, QUOTE, HASH = 0x09, 0x0A, 0x0D, 0x20, 0x22, 0x23
COMMA, EQUALS, BACKSLASH = 0x2C, 0x3D, 0x5C
_PLUS, _MINUS, _POINT, _0, _9 = 0x2B, 0x2D, 0x2E, 0x30, 0x39
_UPPER_E, _LOWER_E, _LOWER_I, _LOWER_U = 0x45, 0x65, 0x69, 0x75

# What a field's value is.
FLOAT, INTEGER, STRING, FALSE, TRUE, NO_VALUE, NO_NUMBER, OUT_OF_RANGE = range(8)

_UINT64_TENTH = np.uint64((1 << 64) // 10)
_INT64_END = np.uint64(1 << 63)


@njit(cache=True, nogil=True)
def end_of_name(body: NDArray[np.uint8], at: int, end: int, is_field: bool) -> int:  # noqa: FBT001
    """Return where a key (measurement and tags) ends, or the name of a field."""
    while at < end:
        byte = body[at]
        if byte == BACKSLASH and at + 1 < end and body[at + 1] != NEWLINE:
            at += 2
            continue
        if byte in (SPACE, NEWLINE) or (is_field and byte in (EQUALS, COMMA)):
            break
        at += 1
    return at


@njit(cache=True, nogil=True)
def skip_spaces(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position of the next byte that is no space."""
    while at < end and body[at] == SPACE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def end_of_string(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position behind a string that begins with the quote at a position, or -1.

    A string may hold newlines. Where it does, what follows it must look like the rest of a line:
    or else a quote that was forgotten would take good lines along.
    """
    has_newline = False
    at += 1
    while at < end and body[at] != QUOTE:
        at += body[at] == BACKSLASH
        # An escaped one is one, too.
        has_newline = has_newline or (at < end and body[at] == NEWLINE)
        at += 1
    if at >= end:
        return -1
    at += 1
    if has_newline and at < end and body[at] not in (COMMA, SPACE, NEWLINE, RETURN):
        return -1
    return at


@njit(cache=True, nogil=True)
def end_of_value(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where a value that is no string ends."""
    while at < end and body[at] not in (COMMA, SPACE, NEWLINE, RETURN):
        at += 1
    return at


@njit(cache=True, nogil=True)
def kind_of(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return what the value between two positions is, by its form; a string it is not."""
    if at == end:
        return NO_VALUE
    first, last = body[at], body[end - 1]
    if not _0 <= first <= _9 and first not in (_PLUS, _MINUS, _POINT):
        return _boolean(body, at, end)
    if last in (_LOWER_I, _LOWER_U):
        return INTEGER
    return FLOAT if is_decimal(body, at + (first in (_PLUS, _MINUS)), end) else NO_NUMBER


@njit(cache=True, nogil=True)
def _boolean(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return TRUE for t, T, true, True, TRUE, FALSE for the like, or NO_NUMBER."""
    upper = body[at] & 0xDF
    value, word = (TRUE, b"RUE") if upper == 0x54 else (FALSE, b"ALSE")
    if upper not in (0x54, 0x46):
        return NO_NUMBER
    if end - at == 1:
        return value
    if end - at != len(word) + 1:
        return NO_NUMBER
    # Either all letters behind the first are small, or all, the first included, are large.
    case = body[at + 1] & 0x20
    if case == 0 and body[at] & 0x20:
        return NO_NUMBER
    for i in range(len(word)):
        if body[at + 1 + i] != word[i] | case:
            return NO_NUMBER
    return value


@njit(cache=True, nogil=True)
def read_digits(body: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, bool]:
    """Return the number of a text of digits, and whether it is one below 2**64."""
    number = np.uint64(0)
    for i in range(at, end):
        digit = np.uint64(body[i]) - np.uint64(_0)
        if digit > np.uint64(9) or number > _UINT64_TENTH:
            return number, False
        grown = number * np.uint64(10) + digit
        if grown < digit:
            return number, False
        number = grown
    return number, end > at


@njit(cache=True, nogil=True)
def read_integer(body: NDArray[np.uint8], at: int, end: int) -> tuple[float, int]:
    """Return the value of an INTEGER, and INTEGER or what it is instead."""
    is_unsigned = body[end - 1] == _LOWER_U
    is_negative = body[at] == _MINUS
    at += body[at] in (_PLUS, _MINUS)
    number, is_sound = read_digits(body, at, end - 1)
    if not is_sound:
        # Digits alone are a number, but a large one.
        for i in range(at, end - 1):
            if not _0 <= body[i] <= _9:
                return 0.0, NO_NUMBER
        return 0.0, OUT_OF_RANGE if end - 1 > at else NO_NUMBER
    if is_unsigned:
        return np.float64(number), INTEGER if not is_negative else NO_NUMBER
    if number >= _INT64_END and (number > _INT64_END or not is_negative):
        return 0.0, OUT_OF_RANGE
    return (-np.float64(number) if is_negative else np.float64(number)), INTEGER


@njit(cache=True, nogil=True)
def read_time(
    body: NDArray[np.uint8], at: int, end: int, per_ms: int, ms_per: int
) -> tuple[int, bool]:
    """Return a timestamp in ms, and whether it is one.

    per_ms: units of the timestamp in a millisecond, or ms_per: milliseconds in a unit; the other
    is 1. Rounded down: a time before 1970 is, too.
    """
    is_negative = at < end and body[at] == _MINUS
    number, is_sound = read_digits(body, at + is_negative, end)
    if not is_sound or number > (_INT64_END - np.uint64(1)) // np.uint64(ms_per):
        return 0, False
    time: Any = np.int64(number)
    return (-time if is_negative else time) * ms_per // per_ms, True

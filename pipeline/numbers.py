"""Decimal numbers in a text as the floats nearest to them: short ones compiled, others by Arrow."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.decimals import parse_decimals

# A number of at most 2**53 times a power of ten of at most 22 is exact in one operation
# (Clinger, "How to read floating point numbers accurately", 1990, section 5).
_POWERS = 10.0 ** np.arange(23)
_MOST = np.uint64(1 << 53)
_MOST_DIGITS = 19
_MINUS, _PLUS, _DOT, _ZERO = (ord(char) for char in "-+.0")


def parse_numbers(text: NDArray[np.uint8], bounds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the float nearest to each number, shape (n,); infinite for what is too large.

    bounds: int32 (n, 2), start and end of each number in text; the caller has checked that each
    is a sign or none, digits with a point or without, and an exponent or none.
    """
    values, is_hard = _parse_short(text, bounds)
    if is_hard.any():
        values[is_hard] = parse_decimals(text, bounds[is_hard])
    return values


@njit(cache=True, nogil=True)
def _parse_short(
    text: NDArray[np.uint8], bounds: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = np.empty(len(bounds), dtype=np.float64)
    is_hard = np.zeros(len(bounds), dtype=np.bool_)
    for i in range(len(bounds)):
        at, end = bounds[i]
        is_negative = text[at] == _MINUS
        if is_negative or text[at] == _PLUS:
            at += 1
        number, power, n_digits, has_point = np.uint64(0), 0, 0, False
        while at < end:
            digit = np.uint64(text[at]) - np.uint64(_ZERO)
            if digit <= np.uint64(9):
                number = number * np.uint64(10) + digit
                n_digits += 1
                power -= has_point
            elif text[at] == _DOT:
                has_point = True
            else:
                break
            at += 1
        if at < end or n_digits > _MOST_DIGITS or number > _MOST or power < -22:
            is_hard[i] = True
            continue
        value = np.float64(number) / _POWERS[-power]
        values[i] = -value if is_negative else value
    return values, is_hard

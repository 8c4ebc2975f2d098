"""What line-wise texts have in common, compiled: line ends, and the form of a number."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NEWLINE = 0x0A
_0, _9, _PLUS, _MINUS, _POINT = 0x30, 0x39, 0x2B, 0x2D, 0x2E
_UPPER_E, _LOWER_E = 0x45, 0x65


@njit(cache=True, nogil=True)
def end_of_line(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where the next newline stands, or the end."""
    while at < end and body[at] != _NEWLINE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def is_decimal(body: NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether a number stands between two positions, without a sign: 1, 1.5, .5, 1., 1e-3."""
    n_digits, has_point = 0, False
    while at < end and (_0 <= body[at] <= _9 or (body[at] == _POINT and not has_point)):
        has_point = has_point or body[at] == _POINT
        n_digits += body[at] != _POINT
        at += 1
    if n_digits == 0:
        return False
    if at < end and body[at] in (_UPPER_E, _LOWER_E):
        at += 1
        at += at < end and body[at] in (_PLUS, _MINUS)
        n_digits = 0
        while at < end and _0 <= body[at] <= _9:
            n_digits += 1
            at += 1
    return at == end and n_digits > 0

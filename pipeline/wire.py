"""Walk over protobuf wire bytes, compiled (protobuf encoding specification)."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5

# Returned in place of a position: the bytes do not parse.
BROKEN = -1


@njit(inline="always")
def read_varint(body: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, int]:
    """Return the varint at a position and the position after it, or BROKEN."""
    if at < end and body[at] < 0x80:
        return np.uint64(body[at]), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < end and shift < np.uint64(70):
        byte = body[at]
        value |= np.uint64(byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += np.uint64(7)
    return np.uint64(0), BROKEN


@njit(inline="always")
def read_length(body: NDArray[np.uint8], at: int, end: int) -> tuple[Any, Any]:
    """Return start and end of the length-delimited value at a position, or BROKEN twice."""
    length, start = read_varint(body, at, end)
    if start < 0 or length > np.uint64(end - start):
        return BROKEN, BROKEN
    return start, start + np.int64(length)


@njit(cache=True)
def skip_value(body: NDArray[np.uint8], at: int, end: int, tag: np.uint64) -> Any:
    """Return the position after the value of a field that is not wanted, or BROKEN."""
    # Field numbers are from 1 to 2**29 - 1.
    if tag < np.uint64(8) or tag > np.uint64(0xFFFFFFFF):
        return BROKEN
    wire_type = np.int64(tag & np.uint64(7))
    if wire_type == VARINT:
        return read_varint(body, at, end)[1]
    if wire_type == BYTES:
        return read_length(body, at, end)[1]
    if wire_type == FIXED_64:
        at += 8
    elif wire_type == FIXED_32:
        at += 4
    else:
        return BROKEN
    return at if at <= end else BROKEN


@njit(cache=True, nogil=True)
def next_field(body: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, Any, Any]:
    """Return tag, start and end of the value of the field at a position; the end is the next's.

    The start is behind the length where there is one. Returns BROKEN as end for what is no field.
    """
    tag, start = read_varint(body, at, end)
    # Field numbers are from 1 to 2**29 - 1.
    if start < 0 or tag < np.uint64(8) or tag > np.uint64(0xFFFFFFFF):
        return tag, BROKEN, BROKEN
    wire_type = tag & np.uint64(7)
    if wire_type == np.uint64(BYTES):
        length, start = read_varint(body, start, end)
        if start < 0 or length > np.uint64(end - start):
            return tag, BROKEN, BROKEN
        return tag, start, start + np.int64(length)
    if wire_type == np.uint64(VARINT):
        return tag, start, read_varint(body, start, end)[1]
    size = 8 if wire_type == np.uint64(FIXED_64) else 4
    if (size == 4 and wire_type != np.uint64(FIXED_32)) or start + size > end:
        return tag, BROKEN, BROKEN
    return tag, start, start + size


@njit(cache=True, nogil=True)
def varint_at(body: NDArray[np.uint8], at: int, end: int) -> Any:
    """Return the varint at a position where next_field has found one."""
    return read_varint(body, at, end)[0]

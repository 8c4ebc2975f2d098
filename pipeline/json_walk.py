"""One pass over JSON points: where each stands, and a hash of what makes its series; compiled.

Only the usual form is read here, and strictly. A point of any other form is odd: it is left to a
whole parser, which also judges what is no JSON at all. Texts of names and labels are not looked
into: their hash is known if a whole parser has found them sound before.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import avalanche, load_u32, load_u64, xxh64
from pipeline.text_times import parse_rfc3339
from pipeline.words import count_trailing_zeros

# time: as the integer says, or ms since 1970 where the point has a text. key: of the texts of
# name, labels, tags, type and unit, never 0. metadata: of those of type and unit, 0 for neither.
# time_kind: one of those below. is_odd: only start and end are true.
POINT = np.dtype(
    [
        ("key", "<u8"),
        ("metadata", "<u8"),
        ("time", "<i8"),
        ("start", "<i4"),
        ("end", "<i4"),
        ("value_start", "<i4"),
        ("value_end", "<i4"),
        ("time_start", "<i4"),
        ("time_end", "<i4"),
        ("time_kind", "u1"),
        ("is_odd", "u1"),
    ],
    align=True,
)
NO_TIME, INTEGER, DECIMAL, TEXT = range(4)

DONE, FULL, NOT_UNDERSTOOD = range(3)
_BROKEN = -1
_ABSENT = np.uint64(0)
_ODD_NUMBER = np.uint64(0x9E3779B97F4A7C15)
_MOST_DIGITS = 18

_QUOTE, _BACKSLASH, _COMMA, _COLON = ord('"'), ord("\\"), ord(","), ord(":")
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = ord("{"), ord("}"), ord("["), ord("]")
_MINUS, _PLUS, _DOT, _ZERO, _NINE, _E, _NEWLINE = (ord(char) for char in "-+.09e\n")

_MEMBERS = ("name", "value", "timestamp", "labels", "tags", "type", "unit")
_NAME, _VALUE, _TIMESTAMP, _LABELS, _TAGS, _TYPE, _UNIT = range(len(_MEMBERS))
# The first eight bytes of each name as one word: quicker to tell apart, and to compile.
_WORDS = np.array([int.from_bytes(name.encode()[:8], "little") for name in _MEMBERS], np.uint64)
_LENGTHS = np.array([len(name) for name in _MEMBERS])
_NAMES_COMPARED = 64
_METRICS = np.frombuffer(b"metrics", dtype=np.uint8)
_P, _NULL = ord("p"), int.from_bytes(b"null", "little")
_LOW, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES = _LOW * np.uint64(_QUOTE), _LOW * np.uint64(_BACKSLASH)


@njit(cache=True, nogil=True)
def walk_list(
    body: NDArray[np.uint8], at: int, seed: np.uint64, points: Any, n: int
) -> tuple[int, int, int]:
    """Read the elements of a list from a position on, after its bracket or a comma, into points.

    Returns DONE, FULL (go on from the position with more room) or NOT_UNDERSTOOD, the position,
    and the number of points.
    """
    end = len(body)
    at = _skip_space(body, at, end)
    if n == 0 and at < end and body[at] == _CLOSE_LIST:
        return DONE, at + 1, 0
    while n < len(points):
        at = _read_point(body, at, end, seed, points[n])
        if at < 0:
            return NOT_UNDERSTOOD, at, n
        n += 1
        at = _skip_space(body, at, end)
        if at < end and body[at] == _CLOSE_LIST:
            return DONE, at + 1, n
        if at >= end or body[at] != _COMMA:
            return NOT_UNDERSTOOD, at, n
        at = _skip_space(body, at + 1, end)
    return FULL, at, n


@njit(cache=True, nogil=True)
def walk_lines(
    body: NDArray[np.uint8], at: int, seed: np.uint64, points: Any, n: int
) -> tuple[int, int, int]:
    """Read a point from each line that is not empty; returns as walk_list, never NOT_UNDERSTOOD."""
    while at < len(body):
        end = at
        while end < len(body) and body[end] != _NEWLINE:
            end += 1
        start = _skip_space(body, at, end)
        if start < end:
            if n == len(points):
                return FULL, at, n
            after = _read_point(body, start, end, seed, points[n])
            if after < 0 or _skip_space(body, after, end) < end:
                points[n].is_odd = 1
                points[n].start, points[n].end = start, end
            n += 1
        at = end + 1
    return DONE, at, n


@njit(cache=True, nogil=True)
def may_have_twins(body: NDArray[np.uint8]) -> bool:
    """Return whether a name may stand twice in an object, or in one that is a member of it.

    Not sure where there are escapes or many names: a whole parser is.
    """
    inner, none = np.empty(len(_MEMBERS) + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
    has_twins, n_inner = _twins(body, 0, inner)
    for k in range(min(n_inner, len(inner))):
        has_twins = has_twins or _twins(body, inner[k], none)[0]
    return has_twins or n_inner > len(inner)


@njit(cache=True, nogil=True)
def _twins(body: NDArray[np.uint8], at: int, inner: NDArray[np.int64]) -> tuple[bool, int]:
    """Return whether an object may have a name twice; where in it objects stand, and how many."""
    end, n, n_inner = len(body), 0, 0
    hashes = np.empty(_NAMES_COMPARED, dtype=np.uint64)
    at = _skip_space(body, at, end)
    while at < end and (body[at] == _OPEN or body[at] == _COMMA):
        at = _skip_space(body, at + 1, end)
        first = at + 1
        if at >= end or body[at] != _QUOTE:
            break
        at = _skip_string(body, at, end)
        if at < 0:
            break
        for k in range(first, at - 1):
            if body[k] == _BACKSLASH:
                return True, n_inner
        name_hash = xxh64(body, first, at - 1)
        for k in range(n):
            if hashes[k] == name_hash:
                return True, n_inner
        if n == len(hashes):
            return True, n_inner
        hashes[n] = name_hash
        n += 1
        at = _skip_space(body, _skip_space(body, at, end) + 1, end)
        if at < end and body[at] == _OPEN:
            if n_inner < len(inner):
                inner[n_inner] = at
            n_inner += 1
        at = _skip_value(body, at, end)
        if at < 0:
            break
        at = _skip_space(body, at, end)
    return False, n_inner


@njit(cache=True, nogil=True)
def count_metrics(body: NDArray[np.uint8], at: int) -> int:
    """Return how many members of the object at a position are called `metrics`, as far as read.

    One whose name has an escape counts, too: it may be that.
    """
    end, n = len(body), 0
    at = _skip_space(body, at, end)
    if at >= end or body[at] != _OPEN:
        return 0
    while True:
        at = _skip_space(body, at + 1, end)
        if at >= end or body[at] != _QUOTE:
            return n
        first = at + 1
        at = _skip_string(body, at, end)
        if at < 0:
            return n
        is_metrics = at - 1 - first == len(_METRICS)
        for k in range(first, at - 1):
            n += body[k] == _BACKSLASH
            is_metrics = is_metrics and body[k] == _METRICS[k - first]
        n += is_metrics
        at = _skip_space(body, at, end)
        if at >= end or body[at] != _COLON:
            return n
        at = _skip_value(body, _skip_space(body, at + 1, end), end)
        if at < 0:
            return n
        at = _skip_space(body, at, end)
        if at >= end or body[at] != _COMMA:
            return n


@njit(cache=True, nogil=True)
def _skip_space(body: NDArray[np.uint8], at: int, end: int) -> int:
    while at < end and (
        body[at] == 0x20 or body[at] == 0x0A or body[at] == 0x0D or body[at] == 0x09
    ):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _skip_string(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position after a string that begins at a position, or _BROKEN."""
    at += 1
    while at + 8 <= end:
        # Whether one of the eight bytes is a quote or a backslash (Mycroft's test for a zero byte).
        word = load_u64(body, at)
        quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
        found = ((quote - _LOW) & ~quote) | ((backslash - _LOW) & ~backslash)
        found &= _HIGH
        if found == 0:
            at += 8
            continue
        at += count_trailing_zeros(found) >> 3
        if body[at] == _QUOTE:
            return at + 1
        at += 2
    while at < end and body[at] != _QUOTE:
        at += 2 if body[at] == _BACKSLASH else 1
    return at + 1 if at < end else _BROKEN


@njit(cache=True, nogil=True)
def _skip_value(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position after a value, which is JSON or not, or _BROKEN."""
    if at >= end:
        return _BROKEN
    if body[at] == _QUOTE:
        return _skip_string(body, at, end)
    if body[at] != _OPEN and body[at] != _OPEN_LIST:
        start = at
        while at < end and _is_scalar(body[at]):
            at += 1
        return at if at > start else _BROKEN
    depth = 0
    while at < end:
        byte = body[at]
        if byte == _QUOTE:
            at = _skip_string(body, at, end)
            if at < 0:
                return _BROKEN
            continue
        at += 1
        if byte in (_OPEN, _OPEN_LIST):
            depth += 1
        elif byte in (_CLOSE, _CLOSE_LIST):
            depth -= 1
            if depth == 0:
                return at
    return _BROKEN


@njit(cache=True, nogil=True)
def _is_scalar(byte: int) -> bool:
    """Whether a byte may stand in a number or a literal, for all that is known here."""
    is_end = byte in (_COMMA, _CLOSE, _CLOSE_LIST, _QUOTE)
    return byte > 0x20 and not is_end


@njit(cache=True, nogil=True)
def _skip_number(body: NDArray[np.uint8], at: int, end: int) -> tuple[int, bool, int]:
    """Return the position after a number as JSON has it or _BROKEN, whether whole, and its digits.

    RFC 8259, section 6.
    """
    if at < end and body[at] == _MINUS:
        at += 1
    first, is_whole = at, True
    while at < end and _ZERO <= body[at] <= _NINE:
        at += 1
    n_digits = at - first
    if n_digits == 0 or (n_digits > 1 and body[first] == _ZERO):
        return _BROKEN, False, 0
    if at < end and body[at] == _DOT:
        is_whole = False
        at += 1
        first = at
        while at < end and _ZERO <= body[at] <= _NINE:
            at += 1
        if at == first:
            return _BROKEN, False, 0
    if at < end and (body[at] | 0x20) == _E:
        is_whole = False
        at += 1
        if at < end and (body[at] == _MINUS or body[at] == _PLUS):
            at += 1
        first = at
        while at < end and _ZERO <= body[at] <= _NINE:
            at += 1
        if at == first:
            return _BROKEN, False, 0
    return at, is_whole, n_digits


@njit(cache=True, nogil=True)
def _which(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return which member a name is, or -1."""
    n_bytes = end - at
    if not 4 <= n_bytes <= 9:
        return -1
    word = np.uint64(0)
    for k in range(min(n_bytes, 8)):
        word |= np.uint64(body[at + k]) << np.uint64(8 * k)
    for member in range(len(_WORDS)):
        if _WORDS[member] == word and _LENGTHS[member] == n_bytes:
            return member if n_bytes < 9 or body[at + 8] == _P else -1
    return -1


@njit(cache=True, nogil=True)
def _read_point(body: NDArray[np.uint8], at: int, end: int, seed: np.uint64, point: Any) -> int:
    """Read one point; return the position after it, or _BROKEN where that cannot be told."""
    start = at
    point.start = start
    point.is_odd = 0
    at = _read_members(body, at, end, seed, point)
    if at < 0:
        point.is_odd = 1
        at = _skip_value(body, start, end)
    point.end = at
    return at


@njit(cache=True, nogil=True)
def _read_members(body: NDArray[np.uint8], at: int, end: int, seed: np.uint64, point: Any) -> int:
    """Read an object of the usual members; return the position after it, or _BROKEN if it is odd.

    One with a member that stands twice is odd: a whole parser says so.
    """
    seen = 0
    name_hash = labels_hash = tags_hash = type_hash = unit_hash = _ABSENT
    point.value_end = 0
    point.time_kind = NO_TIME
    if at >= end or body[at] != _OPEN:
        return _BROKEN
    at = _skip_space(body, at + 1, end)
    while True:
        if at >= end or body[at] != _QUOTE:
            return _BROKEN
        first = at + 1
        at = _skip_string(body, at, end)
        last = at - 1
        at = _skip_space(body, at, end)
        if last < 0 or at >= end or body[at] != _COLON:
            return _BROKEN
        at = _skip_space(body, at + 1, end)
        start = at
        member = _which(body, first, last)
        if member < 0 or seen & (1 << member):
            return _BROKEN
        seen |= 1 << member
        if member == _VALUE:
            at, _, _ = _skip_number(body, at, end)
            point.value_start, point.value_end = start, at
        elif member == _TIMESTAMP:
            at = _read_time(body, at, end, point)
        else:
            at = _skip_value(body, at, end)
            if at < 0 or (member == _NAME and body[start] != _QUOTE):
                return _BROKEN
            text_hash = xxh64(body, start, at)
            if member == _NAME:
                name_hash = text_hash
            elif member == _LABELS:
                labels_hash = text_hash
            elif member == _TAGS:
                tags_hash = text_hash
            elif member == _TYPE:
                type_hash = text_hash
            else:
                unit_hash = text_hash
        if at < 0:
            return _BROKEN
        at = _skip_space(body, at, end)
        if at < end and body[at] == _CLOSE:
            break
        if at >= end or body[at] != _COMMA:
            return _BROKEN
        at = _skip_space(body, at + 1, end)
    if name_hash == _ABSENT or point.value_end == 0:
        return _BROKEN
    point.metadata = _ABSENT
    if type_hash != _ABSENT or unit_hash != _ABSENT:
        point.metadata = _mix(type_hash, unit_hash)
    key = _mix(_mix(seed + name_hash, labels_hash), point.metadata)
    # Never 0, which marks an empty slot of the cache.
    point.key = (key if tags_hash == _ABSENT else _mix(key, tags_hash)) | np.uint64(1)
    return at + 1


@njit(cache=True, nogil=True)
def _mix(one: np.uint64, other: np.uint64) -> np.uint64:
    return avalanche((one * _ODD_NUMBER) ^ (other + _ODD_NUMBER))


@njit(cache=True, nogil=True)
def _read_time(body: NDArray[np.uint8], at: int, end: int, point: Any) -> int:
    """Read a timestamp into a point; return the position after it, or _BROKEN if it is odd."""
    point.time_start = at
    if at < end and body[at] == _QUOTE:
        after = _skip_string(body, at, end)
        is_time, point.time = parse_rfc3339(body, at + 1, after - 1)
        point.time_kind, point.time_end = TEXT, after
        return after if is_time else _BROKEN
    if at + 4 <= end and load_u32(body, at) == _NULL:
        point.time_kind = NO_TIME
        return at + 4
    after, is_whole, n_digits = _skip_number(body, at, end)
    point.time_kind, point.time_end = DECIMAL, after
    if after >= 0 and is_whole:
        if n_digits > _MOST_DIGITS:
            return _BROKEN
        point.time_kind = INTEGER
        number = np.int64(0)
        for k in range(after - n_digits, after):
            number = number * 10 + np.int64(body[k] - _ZERO)
        point.time = -number if body[at] == _MINUS else number
    return after

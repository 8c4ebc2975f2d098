"""Parts of a line of text exposition, compiled.

Formats: Prometheus documentation, "Exposition formats", text format 0.0.4, and OpenMetrics 1.0.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import xxh64
from pipeline.text_scan import is_decimal
from schemas.series import MetricType

TAB, NEWLINE, RETURN, SPACE, QUOTE, HASH = 0x09, 0x0A, 0x0D, 0x20, 0x22, 0x23
OPEN, CLOSE, BACKSLASH, COMMA, EQUALS = 0x7B, 0x7D, 0x5C, 0x2C, 0x3D
_PLUS, _MINUS, _POINT, _0, _9 = 0x2B, 0x2D, 0x2E, 0x30, 0x39
_UPPER_E, _LOWER_E, _L = 0x45, 0x65, 0x6C

# What a word is that stands for a number.
NO_NUMBER, DECIMAL, NOT_A_NUMBER, INFINITE, MINUS_INFINITE = range(5)

_WIDTH = 16


def _padded(*words: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    table = np.zeros((len(words), _WIDTH), dtype=np.uint8)
    for at, word in enumerate(words):
        table[at, : len(word)] = np.frombuffer(word.encode(), dtype=np.uint8)
    return table, np.array([len(word) for word in words])


# Behind the family's name in names of its samples.
_SUFFIXES, _SUFFIX_LENGTHS = _padded(
    "_created", "_total", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum"
)
CREATED, BUCKET, COUNT, SUM = 1, 3, 4, 5
_TYPES, _TYPE_LENGTHS = _padded(*(kind.name.lower() for kind in MetricType))
_KEYWORDS, _KEYWORD_LENGTHS = _padded("TYPE", "UNIT", "HELP")
NO_WORD = -1
TYPE, UNIT, HELP = range(3)
_INFINITE, _INFINITE_LENGTHS = _padded("inf", "infinity", "nan")


@njit(cache=True, nogil=True)
def _find_word(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    words: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    ignored: int,
) -> int:
    """Return which word stands between two positions, or NO_WORD; ignored: bits of bytes."""
    for i in range(len(lengths)):
        if end - at != lengths[i]:
            continue
        k = 0
        while k < lengths[i] and body[at + k] | ignored == words[i, k] | ignored:
            k += 1
        if k == lengths[i]:
            return i
    return NO_WORD


@njit(cache=True, nogil=True)
def keyword_of(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return TYPE, UNIT, HELP or NO_WORD."""
    return _find_word(body, at, end, _KEYWORDS, _KEYWORD_LENGTHS, 0)


@njit(cache=True, nogil=True)
def type_of(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the MetricType of a word, UNKNOWN for what is none."""
    return max(_find_word(body, at, end, _TYPES, _TYPE_LENGTHS, 0), 0)


@njit(cache=True, nogil=True)
def suffix_of(body: NDArray[np.uint8], at: int, end: int, family_at: int, family_end: int) -> int:
    """Return what a name has behind a family's name: 0 nothing, CREATED or more, -1 no such."""
    length = family_end - family_at
    if end - at < length:
        return -1
    for i in range(length):
        if body[at + i] != body[family_at + i]:
            return -1
    if end - at == length:
        return 0
    found = _find_word(body, at + length, end, _SUFFIXES, _SUFFIX_LENGTHS, 0)
    return found + 1 if found >= 0 else -1


@njit(cache=True, nogil=True)
def skip_blanks(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position of the next byte that is neither space nor tab."""
    while at < end and body[at] in (SPACE, TAB):
        at += 1
    return at


@njit(cache=True, nogil=True)
def end_of_word(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where a blank or the line's end stands."""
    while at < end and body[at] not in (SPACE, TAB, NEWLINE, RETURN):
        at += 1
    return at


@njit(cache=True, nogil=True)
def end_of_name(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where a metric's name ends."""
    while at < end and body[at] not in (SPACE, TAB, NEWLINE, RETURN, OPEN):
        at += 1
    return at


@njit(cache=True, nogil=True)
def end_of_labels(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position behind the brace that closes the one at a position, or -1."""
    is_quoted = False
    at += 1
    while at < end and body[at] != NEWLINE:
        byte = body[at]
        if is_quoted and byte == BACKSLASH and at + 1 < end and body[at + 1] != NEWLINE:
            at += 1
        elif byte == QUOTE:
            is_quoted = not is_quoted
        elif byte == CLOSE and not is_quoted:
            return at + 1
        at += 1
    return -1


@njit(cache=True, nogil=True)
def hash_without_bound(body: NDArray[np.uint8], at: int, end: int) -> np.uint64:
    """Return a hash of the labels in braces between two positions, but for `le`, in any order.

    So a bucket has the one of its histogram. Of broken labels it is any number.
    """
    found = np.uint64(0)
    while at < end and body[at] != OPEN:
        at += 1
    at += 1
    while at < end:
        while at < end and body[at] in (SPACE, TAB, COMMA):
            at += 1
        name = at
        while at < end and body[at] not in (SPACE, TAB, EQUALS, CLOSE):
            at += 1
        is_bound = at - name == 2 and body[name] == _L and body[name + 1] == _LOWER_E
        while at < end and body[at] != QUOTE:
            at += 1
        at += 1
        while at < end and body[at] != QUOTE:
            at += 2 if body[at] == BACKSLASH else 1
        at += 1
        if at <= end and not is_bound:
            found += xxh64(body, name, at)
    return found


@njit(cache=True, nogil=True)
def number_kind(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return what the word between two positions is as a number."""
    is_negative = at < end and body[at] == _MINUS
    at += at < end and body[at] in (_PLUS, _MINUS)
    if is_decimal(body, at, end):
        return DECIMAL
    # Small letters have one bit more than large ones.
    word = _find_word(body, at, end, _INFINITE, _INFINITE_LENGTHS, 0x20)
    if word == NO_WORD:
        return NO_NUMBER
    if word == 2:
        return NOT_A_NUMBER
    return MINUS_INFINITE if is_negative else INFINITE

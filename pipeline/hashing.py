"""XXH64 over slices of a byte array, and the id of a series made from it, compiled.

XXH64: Collet, "xxHash fast digest algorithm", specification of 2024, section "XXH64".
"""

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_ZERO = np.uint64(0)


def _load(bits: int, result: Any) -> Any:
    """Make an intrinsic that loads an unaligned little-endian integer from a uint8 array."""

    def typer(_context: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
                context,
                builder,
                signature.args[0],
                context.make_array(signature.args[0])(context, builder, args[0]),
                [args[1]],
                wraparound=False,
            )
            typed = builder.bitcast(pointer, ir.IntType(bits).as_pointer())
            return builder.load(typed, align=1)

        return result(array, types.intp), codegen

    return intrinsic(typer)


load_u64 = _load(64, types.uint64)
load_u32 = _load(32, types.uint32)


@njit(inline="always")
def _rotate(x: np.uint64, bits: int) -> np.uint64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@njit(inline="always")
def _round(accumulator: np.uint64, lane: np.uint64) -> np.uint64:
    return _rotate(accumulator + lane * _P2, 31) * _P1


@njit(inline="always")
def avalanche(h: np.uint64) -> np.uint64:
    """Spread every input bit over the whole word (XXH64, step 6)."""
    h ^= h >> np.uint64(33)
    h *= _P2
    h ^= h >> np.uint64(29)
    h *= _P3
    h ^= h >> np.uint64(32)
    return h


@njit(cache=True)
def _stripes(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    v1, v2, v3, v4 = _P1 + _P2, _P2, _ZERO, _ZERO - _P1
    at = start
    while at + 32 <= end:
        v1 = _round(v1, load_u64(text, at))
        v2 = _round(v2, load_u64(text, at + 8))
        v3 = _round(v3, load_u64(text, at + 16))
        v4 = _round(v4, load_u64(text, at + 24))
        at += 32
    h = _rotate(v1, 1) + _rotate(v2, 7) + _rotate(v3, 12) + _rotate(v4, 18)
    for lane in (v1, v2, v3, v4):
        h = (h ^ _round(_ZERO, lane)) * _P1 + _P4
    return h


@njit(cache=True)
def xxh64(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """Return XXH64 with seed 0 of text[start:end]; the caller vouches for the bounds."""
    at = start
    if end - start >= 32:
        h = _stripes(text, start, end)
        at = end - ((end - start) & 31)
    else:
        h = _P5
    h += np.uint64(end - start)
    while at + 8 <= end:
        h = _rotate(h ^ _round(_ZERO, load_u64(text, at)), 27) * _P1 + _P4
        at += 8
    if at + 4 <= end:
        h = _rotate(h ^ (np.uint64(load_u32(text, at)) * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        h = _rotate(h ^ (np.uint64(text[at]) * _P5), 11) * _P1
        at += 1
    return avalanche(h)


@njit(inline="always")
def label_hash(name_hash: np.uint64, value_hash: np.uint64) -> np.uint64:
    """Hash of one label from the XXH64 of its name and of its value."""
    return avalanche(_rotate(name_hash, 27) * _P1 + value_hash)


@njit(inline="always")
def series_id(labels_hash: np.uint64) -> np.uint64:
    """Return the id of a series from tenant_hash plus the sum of its labels' hashes.

    The sum makes the order of labels irrelevant. 0 is never an id: tables use it for "empty".
    """
    h = avalanche(labels_hash)
    return h if h != _ZERO else np.uint64(1)


@lru_cache(maxsize=10_000)
def tenant_hash(tenant: str) -> np.uint64:
    """Return what the labels' hashes of a tenant's series are added to."""
    text = np.frombuffer(tenant.encode(), dtype=np.uint8)
    return np.uint64(xxh64(text, 0, len(text)))


@njit(cache=True)
def hash_words(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return XXH64 of each word; word i is text[ends[i - 1]:ends[i]]."""
    hashes = np.empty(len(ends), dtype=np.uint64)
    start = 0
    for i in range(len(ends)):
        hashes[i] = xxh64(text, start, ends[i])
        start = ends[i]
    return hashes


@njit(cache=True)
def _combine(words: NDArray[np.uint64], seed: np.uint64) -> np.uint64:
    total = seed
    for i in range(0, len(words), 2):
        total += label_hash(words[i], words[i + 1])
    return series_id(total)


def series_id_of(seed: np.uint64, labels: dict[str, str]) -> int:
    """Return the id of one series: seed is its tenant's hash, labels include `__name__`."""
    words = [word.encode() for label in labels.items() for word in label]
    ends = np.cumsum(np.array([len(word) for word in words], dtype=np.int64))
    text = np.frombuffer(b"".join(words), dtype=np.uint8)
    return int(_combine(hash_words(text, ends), seed))

"""Sketches that still grow: six entries beside the series, what is more in chunks of an arena.

A window of six samples, as of scrapes every 10 s, never touches the arena. Compiled code only;
the owner makes room between calls.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.sketch import MAX_COUNT, Integer, entry_of, normalize
from schemas.rollups import SKETCH_COUNT_BITS

# A head: entries 0..5, how many of them are used, and the first chunk (its place + 1, 0: none).
HEAD_WORDS = 8
_IN_HEAD, _N, _CHAIN = 6, 6, 7

# A chunk fills a cache line: entries 0..11, the next chunk (place + 1), how many entries are used;
# and of the chain's first chunk: the entries of the whole chain, and with how many it is joined.
CHUNK_WORDS = 16
_IN_CHUNK, _NEXT, _USED, _TOTAL, _LIMIT = 12, 12, 13, 14, 15
_LEAST_LIMIT = 96

# free[0]: the first free chunk (place + 1), free[1]: how many are free.
FREE_WORDS = 2


def new_arena(n_chunks: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return chunks, shape (n_chunks, CHUNK_WORDS), and the list of free ones."""
    chunks = np.zeros((n_chunks, CHUNK_WORDS), dtype=np.uint32)
    chunks[:-1, _NEXT] = np.arange(2, n_chunks + 1)
    return chunks, np.array([1 if n_chunks else 0, n_chunks], dtype=np.int64)


def grown_arena(
    chunks: NDArray[np.uint32], free: NDArray[np.int64], n_chunks: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return a copy with n_chunks chunks in all, more than before; places stay."""
    grown = np.zeros((n_chunks, CHUNK_WORDS), dtype=np.uint32)
    grown[: len(chunks)] = chunks
    grown[len(chunks) :, _NEXT] = np.arange(len(chunks) + 2, n_chunks + 2)
    grown[-1, _NEXT] = free[0]
    return grown, np.array([len(chunks) + 1, free[1] + n_chunks - len(chunks)], dtype=np.int64)


@njit(cache=True, inline="always")
def clear(head: NDArray[np.uint32]) -> None:
    """Leave a head without entries; its chain has another owner."""
    head[_N] = 0
    head[_CHAIN] = 0


@njit(cache=True, inline="always")
def add_value(
    head: NDArray[np.uint32],
    chunks: NDArray[np.uint32],
    free: NDArray[np.int64],
    value: float,
) -> None:
    """Count a value, no NaN. At least one chunk must be free."""
    entry = entry_of(value)
    n: Integer = np.int64(head[_N])
    code = entry >> np.uint32(SKETCH_COUNT_BITS)
    for at in range(n):
        if (
            head[at] >> np.uint32(SKETCH_COUNT_BITS) == code
            and head[at] & np.uint32(MAX_COUNT) != MAX_COUNT
        ):
            head[at] += np.uint32(1)
            return
    if n == _IN_HEAD:
        _spill(head, chunks, free)
        n = 0
    head[n] = entry
    head[_N] = n + 1


@njit(cache=True)
def _take_chunk(chunks: NDArray[np.uint32], free: NDArray[np.int64]) -> Integer:
    place = free[0] - 1
    free[0] = np.int64(chunks[place, _NEXT])
    free[1] -= 1
    chunks[place, _NEXT] = 0
    chunks[place, _USED] = 0
    return place


@njit(cache=True)
def _spill(head: NDArray[np.uint32], chunks: NDArray[np.uint32], free: NDArray[np.int64]) -> None:
    """Move the head's entries into its chain, and join the chain's when it has got long."""
    place: Integer = np.int64(head[_CHAIN]) - 1
    if place < 0:
        place = _take_chunk(chunks, free)
        chunks[place, _TOTAL], chunks[place, _LIMIT] = 0, _LEAST_LIMIT
    elif chunks[place, _USED] > _IN_CHUNK - _IN_HEAD:
        new = _take_chunk(chunks, free)
        chunks[new, _NEXT] = place + 1
        chunks[new, _TOTAL], chunks[new, _LIMIT] = chunks[place, _TOTAL], chunks[place, _LIMIT]
        place = new
    used = np.int64(chunks[place, _USED])
    chunks[place, used : used + _IN_HEAD] = head[:_IN_HEAD]
    chunks[place, _USED] = used + _IN_HEAD
    chunks[place, _TOTAL] += np.uint32(_IN_HEAD)
    head[_CHAIN], head[_N] = place + 1, 0
    if chunks[place, _TOTAL] >= chunks[place, _LIMIT]:
        _join(head, chunks, free)


@njit(cache=True)
def _join(head: NDArray[np.uint32], chunks: NDArray[np.uint32], free: NDArray[np.int64]) -> None:
    """Write a chain anew with one entry a code: it takes no more chunks than it gives back."""
    entries = np.empty(n_entries(head, chunks), dtype=np.uint32)
    take_entries(head, chunks, free, entries)
    n = normalize(entries)
    chain = 0
    for at in range(0, n, _IN_CHUNK):
        place = _take_chunk(chunks, free)
        used = min(_IN_CHUNK, n - at)
        chunks[place, :used] = entries[at : at + used]
        chunks[place, _USED], chunks[place, _NEXT] = used, chain
        chain = place + 1
    chunks[chain - 1, _TOTAL], chunks[chain - 1, _LIMIT] = n, max(2 * n, _LEAST_LIMIT)
    head[_CHAIN] = chain


@njit(cache=True)
def n_entries(head: NDArray[np.uint32], chunks: NDArray[np.uint32]) -> Integer:
    """Return how many entries a head and its chain hold."""
    total = np.int64(head[_N])
    if head[_CHAIN]:
        total += np.int64(chunks[np.int64(head[_CHAIN]) - 1, _TOTAL])
    return total


@njit(cache=True)
def take_entries(
    head: NDArray[np.uint32],
    chunks: NDArray[np.uint32],
    free: NDArray[np.int64],
    out: NDArray[np.uint32],
) -> None:
    """Move all entries into out, which has their number, and free the chain."""
    n = np.int64(head[_N])
    out[:n] = head[:n]
    chain = np.int64(head[_CHAIN])
    while chain:
        place = chain - 1
        used = np.int64(chunks[place, _USED])
        out[n : n + used] = chunks[place, :used]
        n += used
        chain = np.int64(chunks[place, _NEXT])
        chunks[place, _NEXT] = free[0]
        free[0] = place + 1
        free[1] += 1
    clear(head)


@njit(cache=True)
def take_sketches(
    heads: NDArray[np.uint32], chunks: NDArray[np.uint32], free: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return lengths and entries of all heads, shape (n, HEAD_WORDS), and leave them empty."""
    lengths = np.empty(len(heads), dtype=np.uint32)
    most = 0
    for at in range(len(heads)):
        most += n_entries(heads[at], chunks)
    sketch = np.empty(most, dtype=np.uint32)
    end: Integer = 0
    for at in range(len(heads)):
        n = n_entries(heads[at], chunks)
        out = sketch[end : end + n]
        take_entries(heads[at], chunks, free, out)
        lengths[at] = normalize(out)
        end += np.int64(lengths[at])
    return lengths, sketch[:end].copy()


@njit(cache=True)
def move_chains(
    heads: NDArray[np.uint32],
    chunks: NDArray[np.uint32],
    to: NDArray[np.uint32],
    free: NDArray[np.int64],
) -> None:
    """Move the chains of all heads into another arena, which has room and these free chunks."""
    for at in range(len(heads)):
        chain = np.int64(heads[at, _CHAIN])
        before = np.int64(-1)
        while chain:
            place = _take_chunk(to, free)
            to[place] = chunks[chain - 1]
            if before < 0:
                heads[at, _CHAIN] = place + 1
            else:
                to[before, _NEXT] = place + 1
            before = place
            chain = np.int64(chunks[chain - 1, _NEXT])

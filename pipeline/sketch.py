"""DDSketch (Masson, Rim, Lee: VLDB 2019): quantiles to 1 % of the value, from mergeable entries.

A value v falls in bucket k = ceil(ln|v| / ln GAMMA), GAMMA = 1.01 / 0.99, denormals included, and
has the code sign(v) * (k + 40000); zero has the code 0, an infinity +-131071; NaN is not counted.
Codes ascend with values. An entry is a uint32, (code + 131072) << 14 | count, count in 1..16383.

The sketch of a window is a function of its samples alone: its entries ascend; a bucket with more
than 16383 samples has as many full entries as they fill, then the rest; of more than MAX_CODES
codes the smallest become one. So merging the sketches of parts gives the sketch of the whole.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.rollups import SKETCH_COUNT_BITS

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
LN_GAMMA = math.log(GAMMA)
K_OFFSET = 40_000
INFINITY_CODE = 131_071
CODE_OFFSET = 131_072
MAX_COUNT = (1 << SKETCH_COUNT_BITS) - 1
# Of one sign they span 35 orders of magnitude.
MAX_CODES = 4096

_BUCKETS_PER_E = 1 / LN_GAMMA
_MIDDLE = 2 * GAMMA / (GAMMA + 1)
_FEW = 24

# In compiled code Python's integers and numpy's of 64 bits are one type.
Integer = Any


@njit(cache=True, inline="always")
def entry_of(value: float) -> np.uint32:
    """Return the entry of one sample, which is no NaN."""
    if value == 0.0:
        code = 0
    else:
        size = abs(value)
        code = INFINITY_CODE
        if size != np.inf:
            code = math.ceil(math.log(size) * _BUCKETS_PER_E) + K_OFFSET
        if value < 0.0:
            code = -code
    return np.uint32((code + CODE_OFFSET) << SKETCH_COUNT_BITS | 1)


@njit(cache=True)
def value_of(entry: Any) -> float:
    """Return the middle of an entry's bucket: of all its values within 1 %."""
    code = np.int64(entry >> np.uint32(SKETCH_COUNT_BITS)) - CODE_OFFSET
    if code == 0:
        return 0.0
    size = np.inf
    if abs(code) != INFINITY_CODE:
        # From the bucket's lower bound: the upper one of the largest floats is infinite.
        size = math.exp((abs(code) - K_OFFSET - 1) * LN_GAMMA) * _MIDDLE
    return size if code > 0 else -size


@njit(cache=True)
def _sort(entries: NDArray[np.uint32]) -> None:
    """Sort in place; most sketches have few entries, for which plain insertion is quickest."""
    if len(entries) > _FEW:
        entries.sort()
        return
    for at in range(1, len(entries)):
        entry = entries[at]
        to = at
        while to > 0 and entries[to - 1] > entry:
            entries[to] = entries[to - 1]
            to -= 1
        entries[to] = entry


@njit(cache=True)
def _collapse_from(entries: NDArray[np.uint32]) -> int:
    """Return where the largest MAX_CODES codes of sorted entries begin."""
    bits = np.uint32(SKETCH_COUNT_BITS)
    n_codes = 0
    at = len(entries)
    while at > 0:
        if at == len(entries) or entries[at - 1] >> bits != entries[at] >> bits:
            if n_codes == MAX_CODES:
                return at
            n_codes += 1
        at -= 1
    return 0


@njit(cache=True)
def normalize(entries: NDArray[np.uint32]) -> Integer:
    """Bring entries, in any order and repeated, into the form of a sketch; return its length.

    In place: the sketch stands at the beginning, and is never longer than what was given.
    """
    if len(entries) < 2:
        return len(entries)
    _sort(entries)
    bits, mask = np.uint32(SKETCH_COUNT_BITS), np.uint32(MAX_COUNT)
    from_ = _collapse_from(entries) if len(entries) > MAX_CODES else 0
    code, count, n = entries[from_] >> bits, np.int64(0), np.int64(0)
    for at in range(len(entries)):
        found = max(entries[at] >> bits, code)
        n_found = np.int64(entries[at] & mask)
        if found != code:
            n = _write(entries, n, code, count)
            code, count = found, np.int64(0)
        count += n_found
        # Never written past what was read: a full entry stands for at least two that were read.
        while count > MAX_COUNT:
            entries[n] = (code << bits) | mask
            n += 1
            count -= MAX_COUNT
    return _write(entries, n, code, count)


@njit(cache=True, inline="always")
def _write(entries: NDArray[np.uint32], n: Integer, code: np.uint32, count: Integer) -> Integer:
    entries[n] = (code << np.uint32(SKETCH_COUNT_BITS)) | np.uint32(count)
    return n + 1


@njit(cache=True)
def quantiles(
    lengths: NDArray[np.uint32],
    sketch: NDArray[np.uint32],
    mins: NDArray[np.float64],
    maxs: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return lower quantiles, shape (n, len(levels)); NaN where a row has no sketch.

    Level q of n samples is the bucket of rank floor(q * (n - 1)), kept between mins and maxs.
    """
    found = np.full((len(lengths), len(levels)), np.nan)
    start: Integer = 0
    for row in range(len(lengths)):
        end = start + np.int64(lengths[row])
        n: Integer = 0
        for at in range(start, end):
            n += np.int64(sketch[at] & np.uint32(MAX_COUNT))
        for level in range(len(levels) if n else 0):
            rank = int(levels[level] * (n - 1))
            at = start
            below = np.int64(sketch[at] & np.uint32(MAX_COUNT))
            while below <= rank:
                at += 1
                below += np.int64(sketch[at] & np.uint32(MAX_COUNT))
            found[row, level] = min(max(value_of(sketch[at]), mins[row]), maxs[row])
        start = end
    return found

"""Decimal numbers that stand in a text, as the floats nearest to them, by Arrow's parser."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray


def parse_decimals(text: NDArray[np.uint8], bounds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the float nearest to each number, shape (n,); infinite for what is too large.

    bounds: int32 (n, 2), start and end of each number in text; the caller has checked that each
    is a decimal number, and that all of them together have less than 2**31 bytes.
    """
    if not len(bounds):
        return np.empty(0, dtype=np.float64)
    gathered, ends = _gather(text, bounds)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(gathered)]
    words = pa.Array.from_buffers(pa.string(), len(bounds), buffers)
    numbers: NDArray[np.float64] = pc.cast(words, pa.float64()).to_numpy()
    return numbers


@njit(cache=True, nogil=True)
def _gather(
    text: NDArray[np.uint8], bounds: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the words one after the other, and where each begins and the last ends."""
    ends = np.empty(len(bounds) + 1, dtype=np.int32)
    ends[0] = 0
    for i in range(len(bounds)):
        ends[i + 1] = ends[i] + bounds[i, 1] - bounds[i, 0]
    gathered = np.empty(ends[-1], dtype=np.uint8)
    for i in range(len(bounds)):
        start = bounds[i, 0]
        for k in range(ends[i], ends[i + 1]):
            gathered[k] = text[start + k - ends[i]]
    return gathered, ends

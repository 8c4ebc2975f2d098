"""Takes a label away from series that are laid out as places in a text."""

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.decoded import LabelTable


def without_label(table: LabelTable, name: str, rows: NDArray[np.bool_]) -> LabelTable:
    """Return the table with a label's value empty, which means none, in some rows, shape (n,)."""
    wanted = np.frombuffer(name.encode(), dtype=np.uint8)
    bounds = table.bounds.copy()
    _empty(table.text, table.ends, bounds, wanted, rows)
    return replace(table, bounds=bounds)


@njit(cache=True)
def _empty(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    bounds: NDArray[np.int64],
    name: NDArray[np.uint8],
    rows: NDArray[np.bool_],
) -> None:
    first = 0
    for row in range(len(ends)):
        for at in range(first, ends[row]):
            start, end = bounds[at, 0], bounds[at, 1]
            is_as_long = start >= 0 and end - start == len(name)
            if rows[row] and is_as_long and (text[start:end] == name).all():
                bounds[at, 3] = bounds[at, 2]
        first = ends[row]

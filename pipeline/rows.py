"""Rows of rollups inside the pipeline: one record per series and window, and their sketches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# One window of one series; the columns are those of relation `rollups`.
ROW = np.dtype(
    [
        ("window_ms", "<i8"),
        ("series_id", "<u8"),
        ("sum", "<f8"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("first", "<f8"),
        ("last", "<f8"),
        ("increase", "<f8"),
        ("count", "<u4"),
        ("is_partial", "<u4"),  # 1: not all of its samples were seen, see pipeline/windows.py
    ]
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of type ROW, shape (n,), and the entries of all their sketches, one after the other.

    sketch_lengths: uint32 (n,), how many entries of sketch (uint32) are each row's.
    """

    rows: NDArray[np.void]
    sketch_lengths: NDArray[np.uint32]
    sketch: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, keep: NDArray[np.bool_]) -> "Rows":
        """Return the rows of which keep, shape (n,), is true, in their order."""
        entries = self.sketch[np.repeat(keep, self.sketch_lengths)]
        return Rows(self.rows[keep], self.sketch_lengths[keep], entries)

    def cut(self, start: int, end: int) -> "Rows":
        """Return rows start to end, without copying."""
        first = int(self.sketch_lengths[:start].sum())
        lengths = self.sketch_lengths[start:end]
        return Rows(self.rows[start:end], lengths, self.sketch[first : first + int(lengths.sum())])

    def with_empty(self, series_ids: NDArray[np.uint64], window_ms: NDArray[np.int64]) -> "Rows":
        """Return the rows, and after them one of count 0 for each window given that has none.

        series_ids, window_ms: sorted by both, a window may be repeated; each row's is among them.
        """
        is_empty = np.zeros(len(series_ids), dtype=np.bool_)
        _find_empty(
            self.rows, np.ascontiguousarray(series_ids), np.ascontiguousarray(window_ms), is_empty
        )
        if not is_empty.any():
            return self
        empty = np.zeros(int(is_empty.sum()), dtype=ROW)
        empty["series_id"], empty["window_ms"] = series_ids[is_empty], window_ms[is_empty]
        lengths = np.concatenate([self.sketch_lengths, np.zeros(len(empty), dtype=np.uint32)])
        return Rows(np.concatenate([self.rows, empty]), lengths, self.sketch)


@njit(cache=True)
def _find_empty(
    rows: Any,
    series_ids: NDArray[np.uint64],
    window_ms: NDArray[np.int64],
    is_empty: NDArray[np.bool_],
) -> None:
    """Set where a window without a row is first named."""
    at = 0
    for i in range(len(series_ids)):
        if i > 0 and series_ids[i] == series_ids[i - 1] and window_ms[i] == window_ms[i - 1]:
            continue
        is_row = at < len(rows) and rows[at].series_id == series_ids[i]
        if is_row and rows[at].window_ms == window_ms[i]:
            at += 1
        else:
            is_empty[i] = True

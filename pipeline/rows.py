"""Rows of rollups inside the pipeline: one record per series and window, and their sketches."""

from dataclasses import dataclass

import numpy as np
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

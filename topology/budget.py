"""How a process divides its memory budget (setting memory_bytes) over what it holds.

Each part has its bound from here, and what it does at the bound stands where it is used. What is
not divided is for what comes and goes: a body being decoded, a batch being built.
"""

from dataclasses import dataclass
from typing import Self

# Of the allocator and of Faust, for each event that waits for its acknowledgement.
BYTES_PER_HELD_RECORD = 650
# Two generations of known series, the cache of labels, active series, and ids of half as many for
# each of JSON, OTLP, line protocol and text exposition, and types of an eighth as many: 270 bytes a
# series where all are sent.
_SHARE_PER_SERIES = 1280


@dataclass(frozen=True, slots=True)
class EdgeBudget:
    """Bodies that wait for the broker, series known as announced."""

    in_flight_bytes: int
    max_series: int

    @classmethod
    def of(cls, memory_bytes: int) -> Self:
        """Divide: an eighth for bodies, a fifth at most for series."""
        return cls(memory_bytes // 8, memory_bytes // _SHARE_PER_SERIES)


@dataclass(frozen=True, slots=True)
class WorkerBudget:
    """State of all engines, records on their way to the broker, held acknowledgements."""

    engine_bytes: int
    unsent_bytes: int
    held_records: int

    @classmethod
    def of(cls, memory_bytes: int, *, scores: bool = True) -> Self:
        """Divide: three quarters for engines, a thirty-second for each of the others.

        scores: whether there are two stages, for windows and for scores, which get half each.
        """
        share = memory_bytes // 32 // (2 if scores else 1)
        return cls(24 * share, share, share // BYTES_PER_HELD_RECORD)

    def window_bytes(self, n_partitions: int) -> int:
        """Return what the windows of one of so many partitions may hold.

        A checkpoint, of one partition at a time, takes three times its state while it is packed.
        """
        return self.engine_bytes // (n_partitions + 3)

    def score_bytes(self, n_partitions: int) -> int:
        """Return what the scores of one of so many partitions may hold.

        Models are packed where they are, to two thirds at most, and once more by the checkpoint.
        """
        return self.engine_bytes // (n_partitions + 2)


@dataclass(frozen=True, slots=True)
class StoreBudget:
    """The embedded engine with all queries and merges, and of that its two large caches each.

    The rest is for two batches: rows that are being written and rows that are being gathered
    (topology/store/batch.py bounds them).
    """

    engine_bytes: int
    cache_bytes: int

    @classmethod
    def of(cls, memory_bytes: int) -> Self:
        """Divide: three quarters for the engine, a thirty-second for a cache."""
        return cls(memory_bytes * 3 // 4, memory_bytes // 32)

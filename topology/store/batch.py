"""What the archive gathers between two inserts, and where each partition stands with it."""

from dataclasses import dataclass, field

from aiokafka import TopicPartition

from schemas.rollups import RecomputeBlock, RollupBlock, decode_rollups
from schemas.samples import SampleBlock, check_storable, decode_samples
from schemas.series import SeriesBlock, decode_series
from schemas.topics import Topic
from topology.store.columns import check_mark, check_rollups, check_series
from topology.store.recompute import Mark

# At least this many rows an insert; FEWER_ROWS when they have waited for SOON_S, and less only
# when they have waited for FLUSH_S.
FLUSH_ROWS = 250_000
FEWER_ROWS, SOON_S = 50_000, 0.4
FLUSH_S = 1.0
# Offsets of records without rows (ticks) may be committed later.
FLUSH_EMPTY_S = 10.0
# More is not read from Kafka while an insert runs or the store is away.
MAX_ROWS = 500_000
MAX_BYTES = 32 << 20


@dataclass(slots=True)
class Batch:
    """Decoded records of all three topics in the order read; began_s by the caller's clock."""

    began_s: float
    samples: list[SampleBlock] = field(default_factory=list)
    series: list[SeriesBlock] = field(default_factory=list)
    rollups: list[RollupBlock] = field(default_factory=list)
    marks: list[tuple[int, Mark]] = field(default_factory=list)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    oldest_receive_ms: dict[TopicPartition, int] = field(default_factory=dict)
    n_rows: int = 0
    n_bytes: int = 0

    def add(self, topic: Topic, place: TopicPartition, offset: int, payload: bytes) -> None:
        """Add a record. Raises InvalidRecord or UnknownVersion, and then holds nothing of it."""
        match topic:
            case Topic.SAMPLES:
                self._add_samples(place, payload)
            case Topic.SERIES:
                self._add_series(place, payload)
            case Topic.ROLLUPS:
                self._add_rollups(place, offset, payload)
            case _:
                raise ValueError(f"topic {topic} is not archived")
        self.n_bytes += len(payload)
        self.pass_over(place, offset)

    def pass_over(self, place: TopicPartition, offset: int) -> None:
        """Count a record as done with, once all before it are."""
        self.next_offsets[place] = offset + 1

    def due_at_s(self) -> float:
        """Return when what it holds now has waited for long enough."""
        return self.began_s + (SOON_S if self.n_rows >= FEWER_ROWS else FLUSH_S)

    def is_due(self, now_s: float) -> bool:
        """Whether it holds enough, or has held something for long enough."""
        if self.n_rows or self.marks:
            return self.n_rows >= FLUSH_ROWS or now_s >= self.due_at_s()
        return bool(self.next_offsets) and now_s - self.began_s >= FLUSH_EMPTY_S

    def is_full(self) -> bool:
        """Whether no more may be added before it is stored."""
        return self.n_rows >= MAX_ROWS or self.n_bytes >= MAX_BYTES

    def _add_samples(self, place: TopicPartition, payload: bytes) -> None:
        blocks = [block for block in decode_samples(payload) if len(block)]
        for block in blocks:
            check_storable(block)
        self.samples += blocks
        self._count(place, blocks)

    def _add_series(self, place: TopicPartition, payload: bytes) -> None:
        blocks = [block for block in decode_series(payload) if len(block)]
        for block in blocks:
            check_series(block)
        self.series += blocks
        self._count(place, blocks)

    def _add_rollups(self, place: TopicPartition, offset: int, payload: bytes) -> None:
        blocks = decode_rollups(payload)
        rows = [block for block in blocks if isinstance(block, RollupBlock) and len(block)]
        for block in rows:
            check_rollups(block)
        marks = [block for block in blocks if isinstance(block, RecomputeBlock) and len(block)]
        for mark in marks:
            check_mark(mark, place.partition)
        self.rollups += rows
        self.marks += [(place.partition, Mark(offset, mark)) for mark in marks]
        self._count(place, rows)

    def _count(
        self,
        place: TopicPartition,
        blocks: list[SampleBlock] | list[SeriesBlock] | list[RollupBlock],
    ) -> None:
        for block in blocks:
            self.n_rows += len(block)
            before = self.oldest_receive_ms.get(place, block.receive_ms)
            self.oldest_receive_ms[place] = min(before, block.receive_ms)

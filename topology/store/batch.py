"""What the archive gathers between two inserts, and where each partition stands with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from pipeline.label_columns import check_series
from schemas.rollups import (
    CloseBlock,
    RecomputeBlock,
    RollupBlock,
    check_rollups,
    decode_rollups,
)
from schemas.samples import SampleBlock, check_storable, decode_samples
from schemas.scores import ScoreBlock, check_scores, decode_scores
from schemas.series import SeriesBlock, decode_series
from schemas.topics import Topic
from topology.dead_letters import Place
from topology.store.checks import check_close, check_mark
from topology.store.tasks import Task

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


_Rows = SampleBlock | SeriesBlock | RollupBlock | ScoreBlock


@dataclass(slots=True)
class Batch:
    """Decoded records of all topics in the order read; began_s by the caller's clock.

    places: of each block of a topic, where its record stands.
    """

    began_s: float
    samples: list[SampleBlock] = field(default_factory=list)
    series: list[SeriesBlock] = field(default_factory=list)
    rollups: list[RollupBlock] = field(default_factory=list)
    scores: list[ScoreBlock] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    places: dict[Topic, list[Place]] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    oldest_receive_ms: dict[TopicPartition, int] = field(default_factory=dict)
    n_rows: int = 0
    n_bytes: int = 0

    def add(self, topic: Topic, place: TopicPartition, offset: int, payload: bytes) -> None:
        """Add a record. Raises InvalidRecord or UnknownVersion, and then holds nothing of it."""
        match topic:
            case Topic.SAMPLES:
                blocks = self._read_samples(payload)
            case Topic.SERIES:
                blocks = self._read_series(payload)
            case Topic.ROLLUPS | Topic.RECOMPUTE:
                blocks = self._read_rollups(topic, place, offset, payload)
            case Topic.SCORES:
                blocks = self._read_scores(payload)
            case _:
                raise ValueError(f"topic {topic} is not archived")
        at = Place(topic, place.partition, offset)
        self.places.setdefault(topic, []).extend([at] * len(blocks))
        self._count(place, blocks)
        self.n_bytes += len(payload)
        self.pass_over(place, offset)

    def blocks(self, topic: Topic) -> Sequence[_Rows]:
        """Return the rows of a topic."""
        found: dict[Topic, Sequence[_Rows]] = {
            Topic.SAMPLES: self.samples,
            Topic.SERIES: self.series,
            Topic.ROLLUPS: self.rollups,
            Topic.SCORES: self.scores,
        }
        return found[topic]

    def pass_over(self, place: TopicPartition, offset: int) -> None:
        """Count a record as done with, once all before it are."""
        self.next_offsets[place] = offset + 1

    def due_at_s(self) -> float:
        """Return when what it holds now has waited for long enough."""
        return self.began_s + (SOON_S if self.n_rows >= FEWER_ROWS else FLUSH_S)

    def is_due(self, now_s: float) -> bool:
        """Whether it holds enough, or has held something for long enough."""
        if self.n_rows or self.tasks:
            return self.n_rows >= FLUSH_ROWS or now_s >= self.due_at_s()
        return bool(self.next_offsets) and now_s - self.began_s >= FLUSH_EMPTY_S

    def is_full(self) -> bool:
        """Whether no more may be added before it is stored."""
        return self.n_rows >= MAX_ROWS or self.n_bytes >= MAX_BYTES

    def _read_samples(self, payload: bytes) -> Sequence[_Rows]:
        blocks = [block for block in decode_samples(payload) if len(block)]
        for block in blocks:
            check_storable(block)
        self.samples += blocks
        return blocks

    def _read_series(self, payload: bytes) -> Sequence[_Rows]:
        blocks = [block for block in decode_series(payload) if len(block)]
        for block in blocks:
            check_series(block)
        self.series += blocks
        return blocks

    def _read_scores(self, payload: bytes) -> Sequence[_Rows]:
        blocks = [block for block in decode_scores(payload) if len(block)]
        for block in blocks:
            check_scores(block)
        self.scores += blocks
        return blocks

    def _read_rollups(
        self, lane: Topic, place: TopicPartition, offset: int, payload: bytes
    ) -> Sequence[_Rows]:
        rows: list[RollupBlock] = []
        tasks: list[Task] = []
        for block in decode_rollups(payload):
            match block:
                case RollupBlock():
                    check_rollups(block)
                    rows += [block] if len(block) else []
                case RecomputeBlock():
                    check_mark(block, place.partition)
                    tasks += [Task(lane, place, offset, block)] if len(block) else []
                case CloseBlock():
                    check_close(block)
                    tasks.append(Task(lane, place, offset, block))
        self.rollups += rows
        self.tasks += tasks
        return rows

    def _count(self, place: TopicPartition, blocks: Sequence[_Rows]) -> None:
        for block in blocks:
            self.n_rows += len(block)
            before = self.oldest_receive_ms.get(place, block.receive_ms)
            self.oldest_receive_ms[place] = min(before, block.receive_ms)

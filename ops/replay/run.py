"""Feeds a source's records to one engine per partition and what they close to a store."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from ops.replay.closes import Closes
from ops.replay.plan import Span
from ops.replay.source import Record, Source
from pipeline.windows import UNBOUNDED, Closed, PartitionWindows, WindowConfig
from schemas.checkpoints import PartitionState
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.samples import SampleBlock, encode_samples
from schemas.times import LAST_MS
from schemas.topics import Topic
from topology.store.batch import FLUSH_ROWS, MAX_BYTES, Batch
from topology.worker.emission import records_of
from topology.worker.reading import read_blocks

# A checkpoint, and the batch that it ends, come so often, but take a fifth of the time at most.
_CHECKPOINT_S, _CHECKPOINT_SHARE = 1.0, 5

Apply = Callable[[Batch], None]


@dataclass(frozen=True, slots=True)
class Engines:
    """Makes the engine of a partition; max_bytes: what one may hold."""

    config: WindowConfig
    max_bytes: int = UNBOUNDED

    def begin(self, *, is_blind: bool) -> PartitionWindows:
        """Return a new one."""
        return PartitionWindows(self.config, starts_blind=is_blind, max_bytes=self.max_bytes)

    def restore(self, state: PartitionState) -> PartitionWindows:
        """Return one as it was."""
        return PartitionWindows(self.config, state, max_bytes=self.max_bytes)


@dataclass(slots=True)
class Position:
    """State between two records: next_offsets and engines are of one moment."""

    next_offsets: dict[int, int] = field(default_factory=dict)
    engines: dict[int, PartitionWindows] = field(default_factory=dict)
    n_samples: int = 0
    n_unreadable: int = 0
    first_ms: int = LAST_MS
    last_ms: int = 0

    def note(self, times_ms: NDArray[np.int64]) -> None:
        """Take note of samples by their times."""
        self.n_samples += len(times_ms)
        self.first_ms = min(self.first_ms, int(times_ms.min()))
        self.last_ms = max(self.last_ms, int(times_ms.max()))

    def closed_until_ms(self) -> dict[str, int]:
        """Return by tenant up to when its windows are closed in all engines that know it."""
        found: dict[str, int] = {}
        for engine in self.engines.values():
            for tenant, until_ms in engine.closed_until_ms().items():
                found[tenant] = min(found.get(tenant, until_ms), until_ms)
        return found

    def snapshot(self) -> dict[int, PartitionState]:
        """Return the engines' states, for a checkpoint."""
        return {number: engine.snapshot() for number, engine in self.engines.items()}


class Run:
    """One run over a source, from the position given.

    apply: puts a batch into the store, rows and what follows from them. save: makes the position
    durable; called when all before it is applied.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is fed, to what, and where it all goes
        self,
        span: Span,
        makes: Engines,
        position: Position,
        apply: Apply,
        save: Callable[[Position], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._span = span
        self._makes = makes
        self._apply = apply
        self._save_position = save
        self.position = position
        self._batch = Batch(0.0)
        self._closes = Closes()
        self._clock_s = clock_s
        self._save_after_s = clock_s() + _CHECKPOINT_S

    async def over(self, source: Source, report: Callable[[Record], None]) -> None:
        """Take all records of the source; then all is applied and saved."""
        async for record in source.records():
            self._take(record, source)
            report(record)
            is_due = record.is_resumable and self._clock_s() >= self._save_after_s
            if is_due:
                self.save()
            elif self._batch.n_rows >= FLUSH_ROWS or self._batch.n_bytes >= MAX_BYTES:
                self._flush()
        self.save()

    def save(self) -> None:
        """Apply what is gathered, then make the position durable."""
        began_s = self._clock_s()
        self._flush()
        self._save_position(self.position)
        took_s = self._clock_s() - began_s
        self._save_after_s = began_s + max(_CHECKPOINT_S, _CHECKPOINT_SHARE * took_s)

    def _take(self, record: Record, source: Source) -> None:
        number = record.partition
        self.position.next_offsets[number] = record.offset + 1
        self._batch.pass_over(TopicPartition(Topic.SAMPLES, number), record.offset)
        try:
            blocks = read_blocks(record.payload, record.log_ms)
        except (InvalidRecord, UnknownVersion):
            # The stages have dead-lettered it; it has no part in any window.
            self.position.n_unreadable += 1
            return
        kept = self._span.cut(blocks)
        if kept:
            engine = self.position.engines.get(number)
            if engine is None:
                engine = self._makes.begin(is_blind=source.is_blind(number))
                self.position.engines[number] = engine
            self._feed(engine, record, kept)
        if record.is_last:
            self.position.engines.pop(number, None)

    def _feed(self, engine: PartitionWindows, record: Record, blocks: list[SampleBlock]) -> None:
        number, offset = record.partition, record.offset
        samples = [block for block in blocks if len(block)]
        if samples:
            place = TopicPartition(Topic.SAMPLES, number)
            self._batch.add(Topic.SAMPLES, place, offset, encode_samples(samples))
            for block in samples:
                self.position.note(block.times_ms)
        for closed in engine.feed(blocks):
            self._publish(number, offset, self._closes.hold_back(number, closed))

    def _publish(self, number: int, offset: int, closed: Closed) -> None:
        for topic, payload in records_of([closed], number, offset):
            self._batch.add(topic, TopicPartition(topic, number), offset, payload)

    def _flush(self) -> None:
        for number, closed in self._closes.take():
            self._publish(number, self.position.next_offsets[number] - 1, closed)
        self._apply(self._batch)
        self._batch = Batch(0.0)

"""A stage of the worker: records in, records out, nothing acknowledged before it is durable.

The order that a crash at any line relies on: a record is fed to the engine; what it gave is
published; a checkpoint (engine state and offset as one thing) is published after that; only then
are the records before its offset acknowledged. A restart loads the checkpoint and skips what
stands before its offset, so every record is taken exactly once. What was published between the
checkpoint and the crash is published again, equal, and the store's upsert drops it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Generic

from aiokafka import AIOKafkaProducer
from faust.events import Event
from faust.types import TP

from schemas.errors import InvalidRecord, UnknownVersion
from topology.breaker import Breaker
from topology.budget import BYTES_PER_HELD_RECORD, WorkerBudget
from topology.clock import now_ms
from topology.dead_letters import UNDECODABLE, DeadLetters, Place
from topology.gaps import report_gap
from topology.runtime import Context
from topology.skips import SKIPPED, Skips, way_out
from topology.worker.checkpoints import CheckpointStore, Content, Loaded
from topology.worker.outbox import Outbox
from topology.worker.positions import Start, find_starts
from topology.worker.work import EngineT, Work


@dataclass(slots=True)
class Partition(Generic[EngineT]):
    """One assigned partition: its engine, and the records that no checkpoint covers yet."""

    tp: TP
    engine: EngineT
    next_offset: int
    sequence: int
    outbox: Outbox
    held: deque[Event] = field(default_factory=deque)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    checkpoint_bytes: int = 0
    durable_offset: int = 0
    acked_offset: int = 0
    last_receive_ms: int = 0
    has_gap: bool = False
    is_stopped: bool = False
    stopped_at: int | None = None
    breaker: Breaker = field(default_factory=Breaker)


class Stage(Generic[EngineT, Content]):
    """Feeds the records of a topic to one engine per partition, as the work says."""

    def __init__(
        self,
        context: Context,
        app: Any,  # WorkerApp; Faust's own types lack what is used here
        producer: AIOKafkaProducer,
        work: Work[EngineT, Content],
        skips: Skips,
    ) -> None:
        settings = context.settings
        self.work = work
        self.topic = settings.topic(work.topic)
        self._context = context
        self._app = app
        self._producer = producer
        self._checkpoints: CheckpointStore[Content] = CheckpointStore(
            settings, producer, work.form, work.beside
        )
        self._partitions: dict[TP, Partition[EngineT]] = {}
        self._group = f"{settings.topic_prefix}{work.name}"
        self._topics = {topic: settings.topic(topic) for topic in work.lanes}
        self._dead_letters = DeadLetters(work.name, context, producer)
        self._skips = skips
        self._budget = WorkerBudget.of(settings.memory_bytes, scores=settings.scores)

    @property
    def n_partitions(self) -> int:
        """How many partitions are assigned."""
        return len(self._partitions)

    async def assign(self, tps: list[TP]) -> None:
        """Load the state of the partitions; events begin only after this returned."""
        generation = self._app.consumer_generation_id
        loaded = await self._checkpoints.load([tp.partition for tp in tps])
        if generation != self._app.consumer_generation_id:
            return
        # What it publishes goes to partitions of the same number, which may be new.
        await self._producer.client.force_metadata_update()
        offsets = {
            number: one.newest and one.newest[1].next_offset for number, one in loaded.items()
        }
        starts = await find_starts(self._context.settings, self._group, self.work.reading, offsets)
        sure = [tp for tp in tps if not loaded[tp.partition].is_lost]
        await self._go_to({tp: starts[tp.partition].offset for tp in sure})
        if generation != self._app.consumer_generation_id:
            return
        for tp in tps:
            self._begin(tp, loaded[tp.partition], starts[tp.partition], len(tps))
        engines = {tp.partition: state.engine for tp, state in self._partitions.items()}
        await self.work.assigned(engines, starts)
        self._context.log.info(
            "assigned", stage=self.work.name, partitions=sorted(tp.partition for tp in tps)
        )

    def _begin(self, tp: TP, loaded: Loaded[Content], start: Start, n_partitions: int) -> None:
        sequence, checkpoint = loaded.newest or (0, None)
        kept = checkpoint if start.keeps_state else None
        engine = self.work.begin(tp.partition, kept, start, n_partitions)
        offset = start.offset
        outbox = Outbox(self._producer, self._topics, tp.partition, self._budget.unsent_bytes)
        state = Partition(tp, engine, offset, sequence, outbox)
        state.acked_offset = offset
        # What somebody else has put there becomes the stage's own with the next checkpoint.
        state.durable_offset = offset - 1 if loaded.is_beside else offset
        state.has_gap = start.n_lost > 0
        self._partitions[tp] = state
        log = self._context.log.bind(stage=self.work.name, partition=tp.partition)
        if loaded.is_lost:
            # Without its state it would begin anew, in the middle of the log.
            reason = f"a checkpoint that cannot be read, {loaded.broken}{self.work.ways}"
            self._stop_partition(state, reason)
        elif loaded.broken is not None:
            log.error("broken checkpoint", used=sequence, broken=loaded.broken)
        report_gap(self._context, self.work.topic, tp.partition, start.n_lost)

    async def _go_to(self, offsets: dict[TP, int]) -> None:
        """Make Faust go on where the states end; it would, where the group has committed."""
        consumer = self._app.consumer
        await consumer._commit(offsets)  # noqa: SLF001 - the public one may not wait
        for tp, offset in offsets.items():
            # A committed 0 is passed over by aiokafka's seek_to_committed.
            await consumer.seek(tp, offset)

    async def revoke(self) -> None:
        """Forget all partitions: Faust rewinds even those that stay. Commit what is safe."""
        safe = {
            tp: state.acked_offset for tp, state in self._partitions.items() if state.acked_offset
        }
        for state in self._partitions.values():
            if state.is_stopped:
                self._say_not_stopped(state.tp)
        self._partitions.clear()
        if safe:
            # Faust forgets acknowledgements that it has not committed when it rebalances.
            commit = self._app.consumer._commit(safe)  # noqa: SLF001 - the public one may not wait
            await asyncio.wait_for(commit, 5)

    def may_go_on(self) -> bool:
        """Whether a partition stands at a record that may be passed over by now."""
        return any(
            state.stopped_at is not None
            and self._skips.covers(self.work.topic, tp.partition, state.stopped_at)
            for tp, state in self._partitions.items()
        )

    async def take(self, event: Event) -> None:
        """Process one record."""
        message = event.message
        state = self._partitions.get(message.tp)
        stale = message.generation_id != self._app.consumer_generation_id
        if state is None or stale or state.is_stopped:
            return
        payload = message.value or b""
        # The held event keeps its offset only; a minute of payloads would be gigabytes.
        event.value = message.value = None
        state.held.append(event)
        if message.offset < state.next_offset:
            self._release(state)
            return
        try:
            blocks = self.work.read(payload, int(message.timestamp * 1000))
            await self.work.prepare(message.partition, state.engine, blocks)
            if self._partitions.get(message.tp) is not state:
                return  # moved meanwhile: its new owner takes the record
            self._feed(state, blocks, message.offset)
            state.breaker.good()
        except (InvalidRecord, UnknownVersion) as error:
            if not await self._pass_over(state, message.offset, payload, error):
                state.held.pop()
                return
        await state.outbox.send()
        # A gap is past with the first checkpoint behind it; until then each start counts it again.
        if state.has_gap or len(state.held) > self._budget.held_records // len(self._partitions):
            await self._checkpoint(state)

    async def checkpoint(self) -> None:
        """Write a checkpoint of each partition that has moved, then acknowledge."""
        for state in list(self._partitions.values()):
            if state.next_offset > state.durable_offset:
                await self._checkpoint(state)

    def checkpoint_bytes(self) -> int:
        """Return the size of the newest checkpoints of all partitions together."""
        return sum(state.checkpoint_bytes for state in self._partitions.values())

    def observe(self) -> None:
        """Set the gauges of this stage."""
        metrics, name = self._context.metrics, self.work.name
        for tp, state in self._partitions.items():
            partition = str(tp.partition)
            is_behind = (self._app.consumer.highwater(tp) or 0) > state.next_offset
            lag_ms = now_ms() - state.last_receive_ms if is_behind and state.last_receive_ms else 0
            metrics.stage_lag.labels(name, partition).set(lag_ms / 1000)
            metrics.held_records.labels(name, partition).set(len(state.held))
            self.work.observe(tp.partition, state.engine, state.last_receive_ms)
        states = self._partitions.values()
        memory = {
            self.work.memory_part: sum(state.engine.n_bytes() for state in states),
            f"{name}_unsent": sum(state.outbox.n_bytes() for state in states),
            f"{name}_held_records": sum(len(state.held) for state in states)
            * BYTES_PER_HELD_RECORD,
        }
        for part, n_bytes in memory.items():
            metrics.memory_bytes.labels(part).set(n_bytes)

    async def _pass_over(
        self, state: Partition[EngineT], offset: int, payload: bytes, error: Exception
    ) -> bool:
        """Make a record that cannot be read a dead letter; False where the partition stops."""
        place = Place(self.work.topic, state.tp.partition, offset)
        kind = UNDECODABLE
        if self._skips.covers(*place):
            kind = SKIPPED
        elif isinstance(error, UnknownVersion):
            self._stop_partition(state, f"offset {offset}: {error}", offset)
            return False
        elif (why := state.breaker.trips()) is not None:
            self._stop_partition(state, f"offset {offset}: {why} ({error})", offset)
            return False
        await self._dead_letters.send(place, payload, str(error), kind)
        state.next_offset = offset + 1
        return True

    def _feed(self, state: Partition[EngineT], blocks: list[Any], offset: int) -> None:
        """Feed a record. Nothing here awaits: engine, outbox and offset change as one."""
        self.work.feed(state.engine, blocks, state.outbox, offset)
        receive_ms = max((one.receive_ms for one in blocks), default=0)
        state.last_receive_ms = max(state.last_receive_ms, receive_ms)
        state.next_offset = offset + 1

    async def _checkpoint(self, state: Partition[EngineT]) -> None:
        # One after the other: two at once would share the keys of one sequence.
        async with state.saving:
            await self._save(state)

    async def _save(self, state: Partition[EngineT]) -> None:
        # One moment of the log: no await between these two.
        offset = state.next_offset
        content = self.work.snapshot(state.tp.partition, state.engine, offset)
        await state.outbox.send()
        await state.outbox.settle()
        state.sequence += 1
        size = await self._checkpoints.save(state.tp.partition, state.sequence, content)
        if self._partitions.get(state.tp) is not state:
            return  # moved to another worker meanwhile, which goes on from its own
        state.checkpoint_bytes = size
        metric = self._context.metrics.checkpoint_bytes
        metric.labels(self.work.name, str(state.tp.partition)).set(size)
        state.durable_offset = offset
        state.has_gap = False
        self._release(state)

    def _release(self, state: Partition[EngineT]) -> None:
        """Acknowledge what a checkpoint covers, strictly in the order of offsets.

        Any other order makes Faust commit past records that are not acknowledged (its issue 606).
        """
        while state.held and state.held[0].message.offset < state.durable_offset:
            event = state.held.popleft()
            event.ack()
            state.acked_offset = event.message.offset + 1

    def _stop_partition(
        self, state: Partition[EngineT], why: str, offset: int | None = None
    ) -> None:
        """Let a partition stand, at a record of this offset if that is why, and say so."""
        tp = state.tp
        state.is_stopped, state.stopped_at = True, offset
        self._app.consumer.pause_partitions({tp})
        reason = f"{tp.topic} partition {tp.partition} stands still at {why}"
        if offset is not None:
            reason += way_out(self.work.topic, tp.partition)
        self._context.health.stand_still(f"{self.work.name} {tp.partition}", reason)
        self._context.metrics.partition_stopped.labels(tp.topic, str(tp.partition)).set(1)
        self._context.log.error("partition stopped", reason=reason)

    def _say_not_stopped(self, tp: TP) -> None:
        self._context.health.set(f"{self.work.name} {tp.partition}", None)
        self._context.metrics.partition_stopped.labels(tp.topic, str(tp.partition)).set(0)

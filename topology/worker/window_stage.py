"""The window stage: samples in, rollups out, nothing acknowledged before it is durable.

The order that a crash at any line relies on: a record is fed to the engine; what it closed is
published; a checkpoint (engine state and offset as one thing) is published after that; only then
are the records before its offset acknowledged. A restart loads the checkpoint and skips what
stands before its offset, so every sample is folded exactly once. Rows published between the
checkpoint and the crash are published again, equal, and the store's upsert drops them.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from faust.events import Event
from faust.types import TP

from pipeline.windows import PartitionWindows, WindowConfig
from schemas.checkpoints import Checkpoint
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.budget import BYTES_PER_HELD_RECORD, WorkerBudget
from topology.clock import now_ms
from topology.dead_letters import DeadLetters, Place
from topology.gaps import report_gap
from topology.runtime import Context
from topology.worker.checkpoints import CheckpointStore, Loaded
from topology.worker.emission import LANES
from topology.worker.outbox import Outbox
from topology.worker.positions import Start, find_starts
from topology.worker.reading import read_blocks

_STAGE = "window"
_WAYS = (
    ": start a build that can, or give the state up (`observai checkpoints --drop`, then start the "
    "workers again): the windows of that moment are then computed from the stored samples"
)


@dataclass(slots=True)
class Partition:
    """One assigned partition: its engine, and the records that no checkpoint covers yet."""

    tp: TP
    windows: PartitionWindows
    next_offset: int
    sequence: int
    outbox: Outbox
    held: deque[Event] = field(default_factory=deque)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    checkpoint_bytes: int = 0
    durable_offset: int = 0
    acked_offset: int = 0
    last_receive_ms: int = 0
    is_stopped: bool = False


class WindowStage:
    """Feeds records of topic `samples` to one engine per partition."""

    def __init__(
        self,
        context: Context,
        app: Any,  # WorkerApp; Faust's own types lack what is used here
        producer: AIOKafkaProducer,
        checkpoints: CheckpointStore,
    ) -> None:
        self._context = context
        self._app = app
        self._producer = producer
        self._checkpoints = checkpoints
        self._partitions: dict[TP, Partition] = {}
        settings = context.settings
        self._group = f"{settings.topic_prefix}{_STAGE}"
        self._topics = {topic: settings.topic(topic) for topic in LANES}
        self._dead_letters = DeadLetters(_STAGE, context, producer)
        self._budget = WorkerBudget.of(settings.memory_bytes)
        self._config = WindowConfig(allowed_lateness_ms=settings.lateness_s * 1000)

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
        starts = await find_starts(self._context.settings, self._group, offsets)
        sure = [tp for tp in tps if not loaded[tp.partition].is_lost]
        await self._go_to({tp: starts[tp.partition].offset for tp in sure})
        if generation != self._app.consumer_generation_id:
            return
        max_bytes = self._budget.window_bytes(len(tps))
        for tp in tps:
            self._begin(tp, loaded[tp.partition], starts[tp.partition], max_bytes)
        self._context.metrics.partitions.set(len(self._partitions))
        self._context.log.info("assigned", partitions=sorted(tp.partition for tp in tps))

    def _begin(self, tp: TP, loaded: Loaded, start: Start, max_bytes: int) -> None:
        sequence, checkpoint = loaded.newest or (0, None)
        kept = checkpoint.windows if checkpoint and start.keeps_state else None
        windows = PartitionWindows(
            self._config, kept, starts_blind=start.is_blind, max_bytes=max_bytes
        )
        offset = start.offset
        outbox = Outbox(self._producer, self._topics, tp.partition, self._budget.unsent_bytes)
        state = Partition(tp, windows, offset, sequence, outbox)
        state.durable_offset = state.acked_offset = offset
        self._partitions[tp] = state
        log = self._context.log.bind(partition=tp.partition)
        if loaded.is_lost:
            # Without its state it would begin anew, in the middle of the log.
            self._stop_partition(state, f"a checkpoint that cannot be read, {loaded.broken}{_WAYS}")
        elif loaded.broken is not None:
            log.error("broken checkpoint", used=sequence, broken=loaded.broken)
        report_gap(self._context, Topic.SAMPLES, tp.partition, start.n_lost)
        if start.is_blind:
            log.warning("state incomplete: windows come from stored samples", offset=offset)

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
        self._partitions.clear()
        self._context.metrics.partitions.set(0)
        if safe:
            # Faust forgets acknowledgements that it has not committed when it rebalances.
            commit = self._app.consumer._commit(safe)  # noqa: SLF001 - the public one may not wait
            await asyncio.wait_for(commit, 5)

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
            self._feed(state, payload, message.offset, int(message.timestamp * 1000))
        except InvalidRecord as error:
            place = Place(Topic.SAMPLES, message.partition, message.offset)
            await self._dead_letters.send(place, payload, str(error))
            state.next_offset = message.offset + 1
        except UnknownVersion as error:
            state.held.pop()
            self._stop_partition(state, f"offset {message.offset}: {error}")
            return
        await state.outbox.send()
        if len(state.held) > self._budget.held_records // len(self._partitions):
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
        metrics = self._context.metrics
        for tp, state in self._partitions.items():
            partition = str(tp.partition)
            is_behind = (self._app.consumer.highwater(tp) or 0) > state.next_offset
            lag_ms = now_ms() - state.last_receive_ms if is_behind and state.last_receive_ms else 0
            metrics.stage_lag.labels(_STAGE, partition).set(lag_ms / 1000)
            metrics.held_records.labels(partition).set(len(state.held))
            slowest_ms = state.windows.slowest_watermark_ms()
            if slowest_ms is not None:
                behind_ms = state.last_receive_ms - slowest_ms
                metrics.watermark_lag.labels(partition).set(behind_ms / 1000)
            metrics.late_samples.inc(state.windows.take_late())
            metrics.series_evicted.inc(state.windows.take_evicted())
        states = self._partitions.values()
        memory = {
            "windows": sum(state.windows.n_bytes() for state in states),
            "unsent": sum(state.outbox.n_bytes() for state in states),
            "held_records": sum(len(state.held) for state in states) * BYTES_PER_HELD_RECORD,
        }
        for part, n_bytes in memory.items():
            metrics.memory_bytes.labels(part).set(n_bytes)

    def _feed(self, state: Partition, payload: bytes, offset: int, log_ms: int) -> None:
        """Feed a record. Nothing here awaits: engine, outbox and offset change as one."""
        blocks = read_blocks(payload, log_ms)
        closed = state.windows.feed(blocks)
        state.last_receive_ms = max(state.last_receive_ms, *(one.receive_ms for one in blocks))
        for one in closed:
            width = f"{one.width_ms // 1000}s"
            self._context.metrics.windows_closed.labels(width).inc(len(one.rows))
            state.outbox.add(one, offset)
        state.next_offset = offset + 1

    async def _checkpoint(self, state: Partition) -> None:
        # One after the other: two at once would share the keys of one sequence.
        async with state.saving:
            await self._save(state)

    async def _save(self, state: Partition) -> None:
        # One moment of the log: no await between these two.
        offset, windows = state.next_offset, state.windows.snapshot()
        await state.outbox.send()
        await state.outbox.settle()
        state.sequence += 1
        content = Checkpoint(offset, windows)
        size = await self._checkpoints.save(state.tp.partition, state.sequence, content)
        if self._partitions.get(state.tp) is not state:
            return  # moved to another worker meanwhile, which goes on from its own
        state.checkpoint_bytes = size
        self._context.metrics.checkpoint_bytes.labels(str(state.tp.partition)).set(size)
        state.durable_offset = offset
        self._release(state)

    def _release(self, state: Partition) -> None:
        """Acknowledge what a checkpoint covers, strictly in the order of offsets.

        Any other order makes Faust commit past records that are not acknowledged (its issue 606).
        """
        while state.held and state.held[0].message.offset < state.durable_offset:
            event = state.held.popleft()
            event.ack()
            state.acked_offset = event.message.offset + 1

    def _stop_partition(self, state: Partition, why: str) -> None:
        tp = state.tp
        state.is_stopped = True
        self._app.consumer.pause_partitions({tp})
        reason = f"{tp.topic} partition {tp.partition} stands still at {why}"
        self._context.health.stand_still(f"window {tp.partition}", reason)
        self._context.metrics.partition_stopped.labels(tp.topic, str(tp.partition)).set(1)
        self._context.log.error("partition stopped", reason=reason)

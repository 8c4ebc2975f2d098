"""Learns the models of the score stage from stored rollups, for the next start of the workers.

So a build whose models are others, or a deployment that has lost them, need not learn for days.
What is learned is put beside the stage's own checkpoints, with the offset of topic rollups up to
where they were in the store: a worker that starts takes it, and goes on with the windows after it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.admin import Admin, quoted
from ops.anomaly.stored_windows import block_of
from ops.partitions import PartitionsError, connect
from ops.replay.live import Live, pieces
from pipeline.scoring.partition import HOUR_MS, PartitionScores, ScoresConfig
from pipeline.scoring.rules import SeriesRules, parse_rules_of_tenant
from schemas.rollups import RollupBlock
from schemas.score_checkpoints import WARMED, ScoresCheckpoint
from schemas.series import METRIC_LABEL, Announcement, MetricType, SeriesBlock, series_block
from schemas.topics import Topic, series_range
from topology.budget import WorkerBudget
from topology.producer import make_producer
from topology.settings import Settings
from topology.store.export import Piece
from topology.topics import count_partitions
from topology.worker.checkpoints import CheckpointStore

_DAY_MS = 86_400_000
_MINUTES_OF_A_DAY = 1440
# Well below the least that a store allows a query.
_ROWS_PER_READ = 250_000
_SEQUENCE = 1
_NEVER = 1e9

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Warmed:
    """What was learned of a partition: windows read, and series of which there is a model."""

    n_windows: int
    n_series: int


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a partition goes on: in topics rollups and series."""

    rollups: int
    series: int


async def warm(settings: Settings, live: Live, days: int, say: Say) -> dict[int, Warmed]:
    """Learn all partitions, one after the other; return what was learned of each.

    Raises ApiError, KafkaError or PartitionsError.
    """
    places = await _places(settings)
    rules = rules_of(live)
    producer = make_producer(settings)
    await producer.start()
    try:
        store = CheckpointStore(settings, producer, WARMED)
        found = {}
        for number, place in places.items():
            learner = _Learner(settings, live, rules, number, len(places))
            found[number] = learner.learn(days)
            content = ScoresCheckpoint(place.rollups, place.series, learner.scores.snapshot())
            await store.save(number, _SEQUENCE, content)
            say(f"partition {number}: {found[number].n_series:,} series learned")
        return found
    finally:
        await producer.stop()


async def _places(settings: Settings) -> dict[int, _Places]:
    """Return up to where rollups are in the store, and the end of topic series, by partition."""
    admin = await connect(settings)
    try:
        n_partitions = (await count_partitions(admin, settings)).get(Topic.ROLLUPS, 0)
    finally:
        await admin.close()
    group = f"{settings.topic_prefix}archive"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        found = {}
        for number in range(n_partitions):
            rollups, series = (
                TopicPartition(settings.topic(topic), number)
                for topic in (Topic.ROLLUPS, Topic.SERIES)
            )
            ends = await consumer.end_offsets([series])
            found[number] = _Places(await consumer.committed(rollups) or 0, ends[series])
        return found
    finally:
        await consumer.stop()


def rules_of(live: Live) -> SeriesRules:
    """Return the rules that the store has of its file, and before them those of tenants.

    So they do not depend on the settings of who asks, as those of workers do not.
    """
    admin = Admin(live.service)
    try:
        specs = {
            tenant: parse_rules_of_tenant(
                admin.ask("GET", f"/tenants/{quoted(tenant)}/score-rules")["rule"]
            )
            for tenant in live.tenants()
        }
        return SeriesRules.parse(admin.ask("GET", "/score-rules")).beside(specs)
    except ValueError as error:
        raise PartitionsError(f"anomaly_rules: {error}") from None


class _Learner:
    """Learns one of n partitions."""

    def __init__(
        self, settings: Settings, live: Live, rules: SeriesRules, number: int, n_partitions: int
    ) -> None:
        budget = WorkerBudget.of(settings.memory_bytes, scores=True)
        config = ScoresConfig(
            rules,
            _NEVER,
            settings.scores_forget_hours * HOUR_MS,
            budget.score_bytes(n_partitions),
        )
        self.scores = PartitionScores(config)
        self._live = live
        self._ids = series_range(number, n_partitions)
        # One time for all: whatever is learned is known, and nothing is silent for long.
        self._now_ms = round(time.time() * 1000)

    def learn(self, days: int) -> Warmed:
        """Learn the last days of all tenants."""
        n_windows = 0
        for tenant in self._live.tenants():
            n_series = self._announce(tenant)
            for width_s in self.scores.widths_of(tenant):
                for block in self._rollups(tenant, width_s, days, n_series):
                    self.scores.feed([block])
                    n_windows += len(block)
        counts = self.scores.n_series()
        return Warmed(n_windows, counts["learning"] + counts["learned"])

    def _announce(self, tenant: str) -> int:
        n_series = 0
        for _, rows in pieces(self._live.read, "series", Piece(tenant, 0, 0, *self._ids)):
            if rows.num_rows:
                self.scores.announce(_series_of(tenant, rows, self._now_ms))
                n_series += rows.num_rows
        return n_series

    def _rollups(
        self, tenant: str, width_s: int, days: int, n_series: int
    ) -> Iterator[RollupBlock]:
        n_rows = n_series * days * _MINUTES_OF_A_DAY * 60 // width_s
        n_reads = max(1, -(-n_rows // _ROWS_PER_READ))
        first, last = self._ids
        bounds = [first + (last + 1 - first) * at // n_reads for at in range(n_reads + 1)]
        for at in range(n_reads):
            from_ms = self._now_ms - days * _DAY_MS
            piece = Piece(
                tenant, from_ms, self._now_ms + _DAY_MS, bounds[at], bounds[at + 1] - 1, width_s
            )
            for _, rows in pieces(self._live.read, "rollups", piece):
                if rows.num_rows:
                    yield block_of(tenant, width_s, rows, self._now_ms)


def _series_of(tenant: str, rows: pa.Table, receive_ms: int) -> SeriesBlock:
    columns = (rows[name].to_pylist() for name in ("series_id", "metric", "labels", "type"))
    announcements = [
        Announcement(series_id, {METRIC_LABEL: metric, **dict(labels)}, MetricType(kind))
        for series_id, metric, labels, kind in zip(*columns, strict=True)
    ]
    return series_block(tenant, receive_ms, 1, announcements)

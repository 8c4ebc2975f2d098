"""The archive against the real broker and the real engine."""

import asyncio
import time

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer
from clickhouse_connect.driver.exceptions import OperationalError

from schemas.config import SkipRecord
from schemas.dead_letters import decode_dead_letter
from schemas.rollups import RecomputeBlock, RollupBlock, encode_rollups
from schemas.samples import encode_samples, tick
from schemas.series import Announcement, encode_series, series_block
from schemas.topics import Topic
from tests.topology.store.archiving import Bench
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, read, sample_block
from tests.waiting import wait_until_async
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.batch import Batch
from topology.store.refused import Refused
from topology.store.writer import Writer

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000


async def test_a_row_is_queryable_two_seconds_after_it_was_published(bench: Bench) -> None:
    """With its labels; and the offset is committed."""
    async with bench.archiving():
        await bench.publish_samples([(1, NOON_MS, 1.0)])
        await bench.wait_rows(1)

        announced = [Announcement(2, {"__name__": "test", "host": "a"})]
        started_s = time.monotonic()
        series = series_block(bench.tenant, NOON_MS, RETENTION_DAYS, announced)
        await bench.publish(Topic.SERIES, encode_series([series]))
        await bench.publish_samples([(2, NOON_MS, 5.0)])
        await bench.wait_rows(2)
        taken_s = time.monotonic() - started_s

    rows = read(bench.engine, bench.tenant, "SELECT labels, value FROM samples WHERE metric='test'")
    assert rows == [({"host": "a"}, 5.0)]
    assert taken_s < 2
    assert await bench.committed(Topic.SAMPLES) == 2


async def test_repeats_after_a_restart_change_nothing(bench: Bench) -> None:
    """A batch that was inserted and not committed is inserted again."""
    for step in range(20):
        await bench.publish_samples([(step, NOON_MS + step, float(step))], partition=step % 4)
    again = sample_block(bench.tenant, [(3, NOON_MS + 3, 3.0)])
    Writer(bench.engine, Metrics(), now_ms).insert(Batch(0.0, samples=[again]))

    async with bench.archiving():
        await bench.wait_rows(20)

    assert bench.count() == 20


async def test_an_undecodable_record_becomes_a_dead_letter(bench: Bench) -> None:
    """The records around it are stored, and its bytes, place and reason are kept."""
    await bench.publish_samples([(1, NOON_MS, 1.0)])
    offset = await bench.publish(Topic.SAMPLES, b"no record")
    await bench.publish(Topic.SAMPLES, encode_samples([sample_block(bench.tenant, [(1, -5, 1.0)])]))
    await bench.publish_samples([(1, NOON_MS + 1, 2.0)])

    async with bench.archiving() as context:
        await bench.wait_rows(2)
        counted = context.metrics.registry.get_sample_value(
            "observai_records_dead_lettered_total", {"topic": "samples", "reason": "undecodable"}
        )

    letters = AIOKafkaConsumer(
        bench.settings.topic(Topic.DEAD_LETTERS),
        bootstrap_servers=bench.settings.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await letters.start()
    try:
        first = decode_dead_letter((await letters.getone()).value)
    finally:
        await letters.stop()
    assert counted == 2
    assert (first.topic, first.partition, first.offset) == ("samples", 0, offset)
    assert (first.record, first.reason) == (
        b"no record",
        "9 bytes are too few for a block header of 24",
    )


async def test_an_unknown_version_stops_its_partition_and_no_other(bench: Bench) -> None:
    """The partition stands before the record, readiness names it, and nothing is skipped."""
    await bench.publish_samples([(1, NOON_MS, 1.0)])
    newer = bytearray(encode_samples([sample_block(bench.tenant, [(1, NOON_MS, 1.0)])]))
    newer[3] = 250
    offset = await bench.publish(Topic.SAMPLES, bytes(newer))
    await bench.publish_samples([(1, NOON_MS + 1, 2.0)])
    await bench.publish_samples([(2, NOON_MS, 2.0)], partition=1)

    async with bench.archiving() as context:
        await bench.wait_rows(2)
        await bench.publish_samples([(3, NOON_MS, 2.0)], partition=1)
        await bench.wait_rows(3)
        reasons = context.health.reasons()

    name = f"{bench.settings.topic(Topic.SAMPLES)}-0"
    assert f"stands still at offset {offset}" in reasons[name]
    assert "format version 250" in reasons[name]
    assert bench.count() == 3
    assert await bench.committed(Topic.SAMPLES) == offset


async def test_a_partition_of_records_that_cannot_be_read_stops_instead_of_being_emptied(
    bench: Bench,
) -> None:
    """Nineteen become dead letters, and it stands before the twentieth; the other one goes on."""
    first = await bench.publish(Topic.SAMPLES, b"noise")
    for _ in range(30):
        await bench.publish(Topic.SAMPLES, b"noise")
    name = f"{bench.settings.topic(Topic.SAMPLES)}-0"

    async with bench.archiving() as context:

        async def says_so() -> bool:
            return name in context.health.reasons()

        await wait_until_async(says_so, 20, "partition 0 said to stand still")
        await bench.publish_samples([(3, NOON_MS, 2.0)], partition=1)
        await bench.wait_rows(1)
        reason = context.health.reasons()[name]
        value = context.metrics.registry.get_sample_value
        labels = {"topic": "samples", "reason": "undecodable"}
        n_letters = value("observai_records_dead_lettered_total", labels)
        labels = {"topic": bench.settings.topic(Topic.SAMPLES), "partition": "0"}
        is_stopped = value("observai_partition_stopped", labels)

    assert f"stands still at offset {first + 19}: 20 of the last 20 records cannot" in reason
    assert (n_letters, is_stopped) == (19, 1)
    assert await bench.committed(Topic.SAMPLES) == first + 19


async def test_a_stopped_partition_goes_on_where_an_operator_lets_it(bench: Bench) -> None:
    """Each record passed over is a dead letter and counted; what can be read is stored."""
    newer = bytearray(encode_samples([sample_block(bench.tenant, [(1, NOON_MS, 1.0)])]))
    newer[3] = 250
    for payload in [b"noise"] * 25 + [bytes(newer)]:
        await bench.publish(Topic.SAMPLES, payload)
    await bench.publish_samples([(1, NOON_MS, 1.0)])
    last = await bench.publish(Topic.SAMPLES, b"noise")
    await bench.publish_samples([(1, NOON_MS + 1, 1.0)])
    name = f"{bench.settings.topic(Topic.SAMPLES)}-0"

    async with bench.archiving() as context:

        async def says_so() -> bool:
            return name in context.health.reasons()

        await wait_until_async(says_so, 20, "partition 0 said to stand still")
        reason = context.health.reasons()[name]
        bench.skips.apply("samples/0", SkipRecord("samples", 0, last))
        await bench.wait_rows(2)
        reasons = context.health.reasons()
        value = context.metrics.registry.get_sample_value
        labels = {"topic": bench.settings.topic(Topic.SAMPLES), "partition": "0"}
        is_stopped = value("observai_partition_stopped", labels)
        letters = {
            kind: value(
                "observai_records_dead_lettered_total", {"topic": "samples", "reason": kind}
            )
            for kind in ("undecodable", "skipped")
        }

    assert "`observai dead-letters skip samples 0 --dry-run`" in reason
    assert (name in reasons, is_stopped) == (False, 0)
    # The last one is not covered: a record like any that cannot be read.
    assert letters == {"undecodable": 20, "skipped": 7}
    assert await bench.committed(Topic.SAMPLES) == last + 2


async def test_a_store_that_is_away_is_tried_again(bench: Bench) -> None:
    """Readiness says so meanwhile, and nothing is lost."""

    class AwayAtFirst(Writer):
        n_failures = 0

        def insert(self, batch: Batch) -> list[Refused]:
            if batch.samples and self.n_failures < 2:
                self.n_failures += 1
                reasons.append(dict(context.health.reasons()))
                raise OperationalError("connection refused")
            return super().insert(batch)

    reasons: list[dict[str, str]] = []
    writer = AwayAtFirst(bench.engine, Metrics(), now_ms)
    async with bench.archiving(writer) as context:
        await bench.publish_samples([(1, NOON_MS, 1.0)])
        await bench.wait_rows(1)
        await wait_until_async(
            lambda: asyncio.sleep(0, "store" not in context.health.reasons()), 5, "ready again"
        )

    assert reasons[1]["store"] == "write failed: connection refused"


async def test_records_that_nobody_reads_yet_are_lag(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away stops reading: what then comes to Kafka waits all the same."""
    is_away, tried = False, asyncio.Event()
    loop = asyncio.get_running_loop()

    class Away(Writer):
        def insert(self, batch: Batch) -> list[Refused]:
            if is_away and batch.samples:
                loop.call_soon_threadsafe(tried.set)
                raise OperationalError("connection refused")
            return super().insert(batch)

    monkeypatch.setattr(Batch, "is_full", lambda _: is_away)
    async with bench.archiving(Away(bench.engine, Metrics(), now_ms)) as context:
        await bench.publish_samples([(1, NOON_MS, 1.0)], partition=1)
        await bench.wait_rows(1)
        is_away = True
        await bench.publish_samples([(2, NOON_MS, 1.0)])
        await asyncio.wait_for(tried.wait(), 20)
        await bench.publish_samples([(3, NOON_MS, 1.0)], partition=1)

        async def lags() -> bool:
            lag_s = context.metrics.registry.get_sample_value(
                "observai_stage_lag_seconds", {"stage": "archive", "partition": "1"}
            )
            return bool(lag_s)

        await wait_until_async(lags, 20, "a lag of what is not read")
        is_away = False
        await bench.wait_rows(3)


async def test_a_batch_over_many_days_is_stored(bench: Bench) -> None:
    """More days than the engine takes in one insert, in two tiers, out of order."""
    days = [(day * 37) % 250 for day in range(250)]
    rows = [(1, NOON_MS - day * DAY_MS, float(day)) for day in days]
    short = sample_block(bench.tenant, [(2, NOON_MS, 1.0)], retention_days=900)

    async with bench.archiving():
        record = encode_samples([sample_block(bench.tenant, rows), short])
        await bench.publish(Topic.SAMPLES, record)
        await bench.wait_rows(251)

    assert bench.count() == 251


async def test_marked_windows_are_recomputed_when_their_samples_are_stored(bench: Bench) -> None:
    """The recomputed row wins over the streamed one, whichever came first; ticks pass."""
    await bench.publish(Topic.SAMPLES, encode_samples([tick(NOON_MS)]))
    await bench.publish_samples([(1, NOON_MS, 1.0)])
    late = await bench.publish_samples([(1, NOON_MS + 10, 5.0)])
    ids, starts = np.array([1], np.uint64), np.array([NOON_MS])
    one = np.ones(1)
    streamed = RollupBlock(
        *(bench.tenant, NOON_MS, RETENTION_DAYS, 60, starts, ids, one.astype(np.uint32)),
        *(one, one, one, one, one, one * 0),
        *(np.zeros(1, np.uint32), np.zeros(0, np.uint32)),
    )
    head = (bench.tenant, NOON_MS, RETENTION_DAYS, 60, 0, 0)
    mark = RecomputeBlock(*head, late, 0, ids, starts, starts)
    unready = RecomputeBlock(*head, late + 9, 0, ids, starts, starts)
    await bench.publish(Topic.ROLLUPS, encode_rollups([mark, streamed]))
    held = await bench.publish(Topic.ROLLUPS, encode_rollups([unready]))
    await bench.publish(Topic.ROLLUPS, encode_rollups([streamed]))

    async def is_recomputed() -> bool:
        rows = read(bench.engine, bench.tenant, "SELECT count, sum, increase FROM rollups")
        return rows == [(2, 6.0, 4.0)]

    async with bench.archiving():
        await wait_until_async(is_recomputed, 20, "the recomputed row")

    assert await is_recomputed()
    assert await bench.committed(Topic.ROLLUPS) == held


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_while_partitions_move(bench: Bench) -> None:
    """A second store joins and leaves under load."""
    stop = asyncio.Event()
    n_published = 0

    async def load() -> None:
        nonlocal n_published
        while not stop.is_set():
            row = (n_published, NOON_MS + n_published, 1.0)
            await bench.publish_samples([row], partition=n_published % 4)
            n_published += 1

    second = bench.settings.model_copy(update={"port": bench.settings.port + 1})
    async with bench.archiving():
        loading = asyncio.create_task(load())
        await bench.wait_rows(50)
        async with bench.archiving(settings=second) as context:
            await wait_until_async(
                lambda: asyncio.sleep(
                    0,
                    "archive" not in context.health.reasons(),
                ),
                20,
                "the second store has partitions",
            )
            await bench.wait_rows(bench.count() + 50)
        await bench.wait_rows(bench.count() + 50)
        stop.set()
        await loading
        await bench.wait_rows(n_published)

    assert bench.count() == n_published

"""The window stage over a real broker: what it publishes, and what it survives."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.config import SkipRecord, encode_entry
from schemas.dead_letters import decode_dead_letter
from schemas.rollups import RecomputeBlock, RollupBlock, decode_rollups
from schemas.samples import SampleBlock, encode_samples, tick
from schemas.topics import Topic
from tests.reference import RollupRow, rollup_reference
from tests.topology.running import (
    bootstrap,
    make_context,
    producing,
    publish_config,
    read_topic,
    running,
)
from tests.waiting import wait_until_async
from topology.settings import Settings
from topology.worker.main import worker

pytestmark = pytest.mark.broker

MINUTE = 60_000
T0 = 1_700_000_040_000  # a full minute


def block(ids: Sequence[int], time_ms: int, values: Sequence[float]) -> SampleBlock:
    times = np.full(len(ids), time_ms)
    return SampleBlock(
        "t", time_ms, 30, np.array(ids, dtype=np.uint64), times, np.array(values, dtype=float)
    )


@pytest.fixture
def worker_settings(own_settings: Settings) -> Settings:
    return own_settings.model_copy(update={"partitions": 2, "checkpoint_s": 1, "scores": False})


async def publish(settings: Settings, partition: int, records: Sequence[bytes]) -> None:
    async with producing(settings) as producer:
        for record in records:
            await producer.send_and_wait(settings.topic(Topic.SAMPLES), record, partition=partition)


async def rolled_up(settings: Settings) -> tuple[dict[tuple[int, int], RollupRow], int]:
    """Return the rows on topic rollups, that repeats agree on, and how many marks stand there."""
    rows: dict[tuple[int, int], RollupRow] = {}
    n_marks = 0
    for record in await read_topic(settings, Topic.ROLLUPS):
        for one in decode_rollups(record.value):
            if isinstance(one, RecomputeBlock):
                n_marks += len(one)
            if not isinstance(one, RollupBlock):
                continue
            for key, row in rows_of(one).items():
                assert rows.setdefault(key, row) == row, "a repeat differs"
    return rows, n_marks


def rows_of(one: RollupBlock) -> dict[tuple[int, int], RollupRow]:
    keys = zip(one.series_ids.tolist(), one.window_starts_ms.tolist(), strict=True)
    columns = (one.counts, one.sums, one.mins, one.maxs, one.firsts, one.lasts, one.increases)
    return dict(zip(keys, zip(*(c.tolist() for c in columns), strict=True), strict=True))


async def committed(settings: Settings, partition: int) -> int | None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.topic_prefix}window",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(
            TopicPartition(settings.topic(Topic.SAMPLES), partition)
        )
        return offset
    finally:
        await consumer.stop()


async def wait_for_rows(settings: Settings, n_rows: int) -> None:
    async def are_there() -> bool:
        return len((await rolled_up(settings))[0]) >= n_rows

    await wait_until_async(are_there, 30, f"{n_rows} rollups")


def load(n_steps: int) -> tuple[list[bytes], dict[tuple[int, int], RollupRow]]:
    """Return records of 20 series at 10 s over some minutes, and the truth of their windows."""
    rng = np.random.default_rng(5)
    ids = rng.integers(1, 2**64, 20, dtype=np.uint64).tolist()
    values = rng.integers(0, 100, (n_steps, len(ids))).astype(float)
    times = [T0 + step * 10_000 for step in range(n_steps)]
    records = [
        encode_samples([block(ids, time_ms, values[step].tolist())])
        for step, time_ms in enumerate(times)
    ]
    truth = {
        (series, start): row
        for at, series in enumerate(ids)
        for start, row in rollup_reference(series, times, values[:, at].tolist(), MINUTE).items()
    }
    return records, truth


async def test_rollups_are_those_of_the_reference(worker_settings: Settings) -> None:
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    await publish(worker_settings, 1, [*records, encode_samples([tick(T0 + 10**6)])])

    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, len(truth))

    rows, n_marks = await rolled_up(worker_settings)
    assert rows == truth
    assert n_marks == 0


async def test_offsets_are_committed_only_up_to_a_checkpoint(worker_settings: Settings) -> None:
    """Open windows stand in the checkpoint, so a restart neither loses nor doubles them."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    for part in (records[:13], records[13:14], records[14:]):
        await publish(worker_settings, 0, part)
        async with running(worker, make_context("worker", worker_settings)):
            await wait_until_fed(worker_settings)

    assert await committed(worker_settings, 0) == len(records)
    await publish(worker_settings, 0, [encode_samples([tick(T0 + 10**6)])])
    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, len(truth))
    assert (await rolled_up(worker_settings))[0] == truth


async def wait_until_fed(settings: Settings) -> None:
    """Return when the worker has a checkpoint of all that stands in partition 0."""
    records = [one for one in await read_topic(settings, Topic.SAMPLES) if one.partition == 0]

    async def is_committed() -> bool:
        return await committed(settings, 0) == len(records)

    await wait_until_async(is_committed, 30, "a checkpoint of all records")


async def test_an_undecodable_record_becomes_a_dead_letter_and_the_others_go_on(
    worker_settings: Settings,
) -> None:
    await bootstrap(worker_settings)
    records, truth = load(n_steps=12)
    log = [records[0], b"noise", *records[1:], encode_samples([tick(T0 + 10**6)])]
    await publish(worker_settings, 0, log)

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, len(truth))

    assert (await rolled_up(worker_settings))[0] == truth
    (letter,) = [
        decode_dead_letter(one.value)
        for one in await read_topic(worker_settings, Topic.DEAD_LETTERS)
    ]
    assert (letter.stage, letter.topic, letter.partition, letter.offset) == (
        "window",
        Topic.SAMPLES,
        0,
        1,
    )
    assert letter.record == b"noise"
    assert "too few" in letter.reason


async def test_an_unknown_version_stops_its_partition_and_no_other(
    worker_settings: Settings,
) -> None:
    await bootstrap(worker_settings)
    records, truth = load(n_steps=12)
    unknown = bytearray(records[0])
    unknown[3] = 77
    await publish(worker_settings, 0, [records[0], bytes(unknown), *records[1:]])
    await publish(worker_settings, 1, [*records, encode_samples([tick(T0 + 10**6)])])

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, len(truth))

        async def says_so() -> bool:
            return "window 0" in context.health.reasons()

        await wait_until_async(says_so, 20, "partition 0 said to stand still")
        reason = context.health.reasons()["window 0"]

    assert "stands still at offset 1" in reason
    assert "version 77" in reason
    assert await read_topic(worker_settings, Topic.DEAD_LETTERS) == []
    assert (await committed(worker_settings, 0) or 0) <= 1


async def test_a_stopped_partition_goes_on_where_an_operator_lets_it(
    worker_settings: Settings,
) -> None:
    """The breaker's, then one of a newer format: no restart, and rollups as without them."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=12)
    newer = bytearray(records[0])
    newer[3] = 77
    log = [records[0], *[b"noise"] * 25, bytes(newer), *records[1:]]
    await publish(worker_settings, 0, [*log, encode_samples([tick(T0 + 10**6)])])

    context = make_context("worker", worker_settings)
    async with running(worker, context):

        async def says_so() -> bool:
            return "window 0" in context.health.reasons()

        await wait_until_async(says_so, 20, "partition 0 said to stand still")
        reason = context.health.reasons()["window 0"]
        await publish_config(worker_settings, [encode_entry(SkipRecord("samples", 0, 27))])
        await wait_for_rows(worker_settings, len(truth))
        reasons = context.health.reasons()
        value = context.metrics.registry.get_sample_value
        labels = {"topic": worker_settings.topic(Topic.SAMPLES), "partition": "0"}
        is_stopped = value("observai_partition_stopped", labels)

    assert "stands still at offset 20" in reason
    assert "`observai dead-letters skip samples 0 --dry-run`" in reason
    assert (reasons, is_stopped) == ({}, 0)
    assert (await rolled_up(worker_settings))[0] == truth
    letters = await read_topic(worker_settings, Topic.DEAD_LETTERS)
    places = {decode_dead_letter(one.value).offset for one in letters}
    assert places == set(range(1, 27))


@pytest.mark.parametrize("time_ms", [-1, 2**32 * 1000, -(2**63), 2**63 - 1])
async def test_what_the_store_cannot_hold_is_not_rolled_up_either(
    worker_settings: Settings, time_ms: int
) -> None:
    """A record of direct producers: refused as a whole, as the archive refuses it."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=12)
    odd = SampleBlock("t", T0, 30, np.array([1], np.uint64), np.array([time_ms]), np.array([1.0]))
    tail = [encode_samples([odd]), encode_samples([tick(T0 + 10**6)])]
    await publish(worker_settings, 0, [*records, *tail])

    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, len(truth))

    assert (await rolled_up(worker_settings))[0] == truth
    assert len(await read_topic(worker_settings, Topic.DEAD_LETTERS)) == 1


async def test_a_broken_checkpoint_is_replaced_by_the_one_before(
    worker_settings: Settings,
) -> None:
    """Noise on the topic does not keep a worker from its state."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    await publish(worker_settings, 0, records[:20])
    async with running(worker, make_context("worker", worker_settings)):
        await wait_until_fed(worker_settings)
    async with producing(worker_settings) as producer:
        for key in (b"window/0/1/7", b"junk"):
            await producer.send_and_wait(
                worker_settings.topic(Topic.CHECKPOINTS), b"junk", key=key, partition=0
            )
    await publish(worker_settings, 0, [*records[20:], encode_samples([tick(T0 + 10**6)])])

    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, len(truth))

    assert (await rolled_up(worker_settings))[0] == truth


async def test_without_any_whole_checkpoint_the_partition_stops(worker_settings: Settings) -> None:
    await bootstrap(worker_settings)
    async with producing(worker_settings) as producer:
        await producer.send_and_wait(
            worker_settings.topic(Topic.CHECKPOINTS), b"junk", key=b"window/0/1/0", partition=0
        )

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        assert "a checkpoint that cannot be read" in context.health.reasons()["window 0"]
        assert "window 1" not in context.health.reasons()


async def test_an_edge_whose_clock_is_ahead_closes_nobodys_windows(
    worker_settings: Settings,
) -> None:
    """No receive time is believed beyond the broker's own."""
    await bootstrap(worker_settings)
    now_ms = time.time_ns() // 1_000_000
    ahead_ms = now_ms + 86_400_000
    log = [block([1], now_ms, [1.0]), tick(ahead_ms), block([1], now_ms + 1, [2.0])]
    await publish(worker_settings, 0, [encode_samples([one]) for one in log])

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_until_fed(worker_settings)

    assert context.metrics.registry.get_sample_value("observai_late_samples_total") == 0
    assert await rolled_up(worker_settings) == ({}, 0)


@pytest.mark.slow
async def test_one_workers_partitions_move_to_the_next_without_loss(
    worker_settings: Settings,
) -> None:
    """A second worker joins while records come, then the first leaves."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=60)
    second = worker_settings.model_copy(update={"slot": "1", "port": worker_settings.port + 100})
    async with running(worker, make_context("worker", second)):
        async with running(worker, make_context("worker", worker_settings)):
            await publish(worker_settings, 0, records[:30])
        await publish(worker_settings, 0, records[30:])
        await publish(worker_settings, 0, [encode_samples([tick(T0 + 10**7)])])
        await wait_for_rows(worker_settings, len(truth))

    assert (await rolled_up(worker_settings))[0] == truth

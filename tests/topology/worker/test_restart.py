"""Restarts of the worker: state and position belong together, and a gap is never passed unseen."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from prometheus_client import CollectorRegistry

from ops import checkpoints
from schemas.samples import encode_samples, tick
from schemas.topics import Topic
from tests.topology.running import bootstrap, make_context, producing, read_topic, running
from tests.topology.worker.test_window_stage import T0, committed, load, publish, rolled_up
from tests.waiting import wait_until_async
from topology import budget
from topology.runtime import Context
from topology.settings import Settings
from topology.topics import ensure_topics
from topology.worker import running as worker_running
from topology.worker.app import WorkerApp, build_app
from topology.worker.checkpoints import MAX_BYTES_PER_S, interval_s
from topology.worker.main import worker

pytestmark = pytest.mark.broker

END = encode_samples([tick(T0 + 10**6)])


@pytest.fixture
def worker_settings(own_settings: Settings) -> Settings:
    return own_settings.model_copy(update={"partitions": 2, "checkpoint_s": 1, "scores": False})


async def work_off(settings: Settings, records: Sequence[bytes]) -> Context:
    """Publish records to partition 0, and run a worker until all there are acknowledged."""
    await publish(settings, 0, records)
    context = make_context("worker", settings)
    async with running(worker, context):
        await wait_until_committed(settings, await n_records(settings))
    return context


async def n_records(settings: Settings) -> int:
    found = await read_topic(settings, Topic.SAMPLES)
    offsets: list[int] = [record.offset for record in found if record.partition == 0]
    return max(offsets) + 1


async def wait_until_committed(settings: Settings, offset: int) -> None:
    async def is_committed() -> bool:
        return await committed(settings, 0) == offset

    await wait_until_async(is_committed, 30, f"offset {offset} committed")


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def admin_do(settings: Settings, what: str, *arguments: Any) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        await getattr(admin, what)(*arguments)
    finally:
        await admin.close()


async def test_an_older_checkpoint_is_gone_on_from_where_it_ends(worker_settings: Settings) -> None:
    """The newest one is destroyed, though the group has committed what stands behind the older."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    await work_off(worker_settings, records[:10])
    await work_off(worker_settings, records[10:20])
    newest = (await read_topic(worker_settings, Topic.CHECKPOINTS))[-1]
    async with producing(worker_settings) as producer:
        await producer.send_and_wait(newest.topic, b"junk", key=newest.key, partition=0)

    await work_off(worker_settings, [*records[20:], END])

    rows, n_marks = await rolled_up(worker_settings)
    assert rows == truth
    assert n_marks == 0


async def test_records_gone_before_they_were_read_are_counted(worker_settings: Settings) -> None:
    await bootstrap(worker_settings)
    records, _ = load(n_steps=30)
    await work_off(worker_settings, records[:10])
    await publish(worker_settings, 0, records[10:25])
    place = TopicPartition(worker_settings.topic(Topic.SAMPLES), 0)
    await admin_do(worker_settings, "delete_records", {place: RecordsToDelete(17)})

    context = await work_off(worker_settings, [*records[25:], END])

    name = "observai_records_lost_total"
    lost = value(context.metrics.registry, name, topic="samples", partition="0")
    assert lost == 7
    assert value(context.metrics.registry, name, topic="samples", partition="1") is None
    assert context.health.reasons() == {}


async def test_a_checkpoint_of_an_unknown_version_stops_its_partition(
    worker_settings: Settings,
) -> None:
    """The reason names version and remedy; once it is given up, no window is lost."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    await work_off(worker_settings, records[:15])
    newest = (await read_topic(worker_settings, Topic.CHECKPOINTS))[-1]
    other = bytearray(newest.value)
    assert other[1] < 99  # the first field of the array is the version
    other[1] = 99
    async with producing(worker_settings) as producer:
        await producer.send_and_wait(newest.topic, bytes(other), key=newest.key, partition=0)

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        reasons = context.health.reasons()
    assert "format version 99" in reasons["window 0"]
    assert "observai checkpoints --drop" in reasons["window 0"]
    assert "window 1" not in reasons

    found = await checkpoints.look(worker_settings)
    assert {number: one.is_lost for number, one in found.items()} == {0: True, 1: False}
    assert list(await checkpoints.drop(worker_settings, None)) == [0]
    assert not any(one.is_lost for one in (await checkpoints.look(worker_settings)).values())

    await work_off(worker_settings, [*records[15:], END])
    assert (await rolled_up(worker_settings))[0] == truth


async def test_without_its_checkpoints_the_worker_reads_open_windows_again(
    worker_settings: Settings,
) -> None:
    """Topic checkpoints is deleted, and no window is lost."""
    await bootstrap(worker_settings)
    records, truth = load(n_steps=30)
    await work_off(worker_settings, records[:15])
    name = worker_settings.topic(Topic.CHECKPOINTS)
    await admin_do(worker_settings, "delete_topics", [name])
    await ensure_topics(worker_settings)

    await work_off(worker_settings, [*records[15:], END])

    assert (await rolled_up(worker_settings))[0] == truth


async def test_many_held_records_force_a_checkpoint(
    worker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are acknowledged long before the next checkpoint is due."""
    monkeypatch.setattr(budget, "BYTES_PER_HELD_RECORD", (2 << 20) // 20)
    few = {"checkpoint_s": 600, "memory_bytes": 64 << 20}
    seldom = worker_settings.model_copy(update=few)
    await bootstrap(seldom)
    records, _ = load(n_steps=25)
    await publish(seldom, 0, records)

    async with running(worker, make_context("worker", seldom)):

        async def is_committed() -> bool:
            return (await committed(seldom, 0) or 0) >= 20

        await wait_until_async(is_committed, 30, "a checkpoint before its time")


def test_a_larger_checkpoint_is_written_less_often() -> None:
    assert interval_s(10, 1_000) == 10
    assert interval_s(10, 60 * MAX_BYTES_PER_S) == 60


async def test_a_rolling_restart_moves_no_partition(
    worker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker sees no rebalance: its generation stays, and so do its partitions."""
    apps: list[WorkerApp] = []

    def remembered(settings: Settings, stage: str) -> WorkerApp:
        apps.append(build_app(settings, stage))
        return apps[-1]

    monkeypatch.setattr(worker_running, "build_app", remembered)
    await bootstrap(worker_settings)
    port = worker_settings.port + 100
    other = worker_settings.model_copy(update={"slot": "1", "port": port})

    async with running(worker, make_context("worker", worker_settings)) as stays:
        async with running(worker, make_context("worker", other)):
            await wait_until_reading(stays, 1)
        generation = apps[0].consumer_generation_id
        async with running(worker, make_context("worker", other)) as again:
            await wait_until_reading(again, 1)
            assert apps[0].consumer_generation_id == generation
            assert apps[2].consumer_generation_id == generation
            assert value(stays.metrics.registry, "observai_partitions") == 1


async def wait_until_reading(context: Context, n_partitions: int) -> None:
    async def is_so() -> bool:
        return value(context.metrics.registry, "observai_partitions") == n_partitions

    await wait_until_async(is_so, 60, f"{n_partitions} partitions assigned")

"""The log of all partitions as one, on a real broker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from ops.replay.log_source import LogSource
from ops.replay.plan import ReplayError
from ops.replay.source import Record
from schemas.topics import Topic
from tests.topology.running import producing
from topology.settings import Settings
from topology.topics import ensure_topics

pytestmark = pytest.mark.broker


@asynccontextmanager
async def opened(
    settings: Settings, begin_ms: int = 0, begins: Mapping[int, int] | None = None
) -> AsyncIterator[LogSource]:
    source = LogSource(settings, Topic.SAMPLES)
    try:
        await source.open(begin_ms, begins or {})
        yield source
    finally:
        await source.close()


async def send(settings: Settings, partitions: list[int], size: int = 10) -> None:
    """Append a record to each of the partitions, one after the other."""
    async with producing(settings) as producer:
        for number in partitions:
            await producer.send_and_wait(
                settings.topic(Topic.SAMPLES), b"x" * size, partition=number
            )


async def read(source: LogSource) -> list[Record]:
    return [record async for record in source.records()]


async def test_partitions_are_merged_by_time_of_arrival(own_settings: Settings) -> None:
    """A partition's records keep their order; large ones and idle partitions hold up nobody."""
    await ensure_topics(own_settings)
    order = [0, 1, 1, 3, 0, 1, 3, 3, 0]
    await send(own_settings, order, size=400_000)

    async with opened(own_settings) as source:
        records = await read(source)

    assert [one.offset for one in records if one.partition == 1] == [0, 1, 2]
    assert [(one.log_ms, one.partition) for one in records] == sorted(
        (one.log_ms, one.partition) for one in records
    )
    assert len(records) == len(order)
    assert not source.is_blind(1)
    assert source.progress() == 1


async def test_reading_begins_at_a_time_or_where_it_stopped(own_settings: Settings) -> None:
    """Begun in the middle, samples before are missing; the end moves when it is asked to."""
    await ensure_topics(own_settings)
    await send(own_settings, [0] * 3 + [1] * 3)
    async with opened(own_settings) as source:
        times = [one.log_ms for one in await read(source)]
        assert await read(source) == []
        await send(own_settings, [1])
        await source.extend()
        assert [(one.partition, one.offset) for one in await read(source)] == [(1, 3)]

    async with opened(own_settings, times[-1] + 100_000, {0: 2, 1: 3}) as source:
        later = await read(source)

    assert [(one.partition, one.offset) for one in later] == [(0, 2), (1, 3)]
    assert source.is_blind(0)


async def test_a_log_that_was_cut_is_seen(own_settings: Settings) -> None:
    """What was asked for may have been deleted; what a checkpoint needs is missed for sure."""
    await ensure_topics(own_settings)
    await send(own_settings, [2] * 4)
    async with opened(own_settings) as source:
        assert not source.is_cut()
    admin = AIOKafkaAdminClient(bootstrap_servers=own_settings.kafka_bootstrap)
    await admin.start()
    place = TopicPartition(own_settings.topic(Topic.SAMPLES), 2)
    await admin.delete_records({place: RecordsToDelete(before_offset=2)})
    await admin.close()

    async with opened(own_settings) as source:
        assert source.is_cut()
        assert len(await read(source)) == 2
    with pytest.raises(ReplayError, match="begins at 2 now"):
        async with opened(own_settings, 0, {2: 1}):
            pass


async def test_a_missing_topic_or_broker_is_said(own_settings: Settings) -> None:
    with pytest.raises(ReplayError, match="no topic"):
        async with opened(own_settings):
            pass
    with pytest.raises(ReplayError, match="no answer from Kafka"):
        async with opened(own_settings.model_copy(update={"kafka": "127.0.0.1:1"})):
            pass

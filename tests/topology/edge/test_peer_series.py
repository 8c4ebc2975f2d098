"""How an edge counts the series that any edge has announced, before its start and after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from structlog.testing import capture_logs

from pipeline.active_series import ActiveSeries
from schemas.series import Announcement, encode_series, series_block
from schemas.topics import Topic
from tests.topology.running import make_context, producing
from tests.waiting import wait_until_async
from topology.clock import now_ms
from topology.edge import peer_series
from topology.edge.peer_series import PeerSeries
from topology.settings import Settings
from topology.topics import ensure_topics, grow_partitions

pytestmark = pytest.mark.broker

MINUTE_MS = 60_000


async def announce(
    settings: Settings, producer: AIOKafkaProducer, partition: int, *ids: int, age_min: int = 0
) -> None:
    """Announce series of tenant a; Kafka's own time of the record is that of the announcement."""
    at_ms = now_ms() - age_min * MINUTE_MS
    block = series_block("a", at_ms, 30, [Announcement(one, {"__name__": "m"}) for one in ids])
    await producer.send_and_wait(
        settings.topic(Topic.SERIES),
        encode_series([block]),
        partition=partition,
        timestamp_ms=at_ms,
    )


@asynccontextmanager
async def following(
    settings: Settings, producer: AIOKafkaProducer, active: ActiveSeries
) -> AsyncIterator[PeerSeries]:
    series = PeerSeries(make_context("edge", settings), producer, active)
    task = asyncio.create_task(series.run())
    try:
        yield series
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def grow(settings: Settings, to: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        await grow_partitions(admin, settings, to)
    finally:
        await admin.close()


def begun_and_active(active: ActiveSeries) -> tuple[int, int]:
    minute = now_ms() // MINUTE_MS
    return active.count_begun("a", minute), active.count("a", minute)


async def test_series_of_all_partitions_count_from_an_hour_back_on(own_settings: Settings) -> None:
    """What began before the start is active and not new; what begins later is both.

    A growth of the topic is followed: the publisher keeps the producer's knowledge fresh.
    """
    settings = own_settings.model_copy(update={"partitions": 2})
    active = ActiveSeries(1000)
    await ensure_topics(settings)
    async with producing(settings) as producer:
        await announce(settings, producer, 0, 9, age_min=200)
        await announce(settings, producer, 0, 1, 2, age_min=50)
        await announce(settings, producer, 1, 3)
        async with following(settings, producer, active) as series:
            await series.wait(20)
            assert series.is_complete()
            assert begun_and_active(active) == (0, 3)

            await announce(settings, producer, 0, 1, 4)
            await counted(active, (1, 4))
            await grow(settings, 3)
            await producer.client.force_metadata_update()
            await announce(settings, producer, 2, 5)
            await counted(active, (2, 5))


async def counted(active: ActiveSeries, expected: tuple[int, int]) -> None:
    async def is_counted() -> bool:
        return begun_and_active(active) == expected

    await wait_until_async(is_counted, 20, f"begun and active: {expected}")


async def test_an_edge_that_cannot_read_back_waits_a_bounded_time(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_series, "READ_BACK_S", 0.01)
    nowhere = own_settings.model_copy(update={"kafka": "127.0.0.1:1"})
    async with producing(own_settings) as producer:
        with capture_logs() as lines:
            async with following(nowhere, producer, ActiveSeries(10)) as series:
                assert not series.is_complete()
                await series.wait(20)
                assert series.is_complete()

    assert any("not read back" in line["event"] for line in lines)

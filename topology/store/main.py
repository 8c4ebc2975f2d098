"""The store role: starts its parts in order and stops them in the reverse."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.client import Client

from topology.broker_watch import watch_broker
from topology.clock import now_ms
from topology.config_feed import ConfigFeed
from topology.dead_letters import DeadLetters
from topology.disk import disk_of_store, watch_disk
from topology.producer import make_producer
from topology.runtime import Context
from topology.skips import Skips
from topology.store.administration import Administration
from topology.store.anomalies import watch_anomalies
from topology.store.anomalies_api import AnomaliesApi
from topology.store.api import SqlApi
from topology.store.archive import Archive
from topology.store.client import Engine, Limits, StoreUnavailable
from topology.store.engine_config import Bounds
from topology.store.export_api import ExportApi
from topology.store.gate import Gate, watch_broken_parts
from topology.store.memory import keep_freed_memory, release_memory
from topology.store.news import News
from topology.store.parts import watch_parts
from topology.store.queries import Queries
from topology.store.retention import watch_retention
from topology.store.self_check import SelfCheck
from topology.store.verify import Verifier
from topology.store.verify_api import VerifyApi
from topology.store.writer import Writer
from topology.topics import ensure_topics

_RETRY_S = 2.0
_PRODUCER_STOP_S = 3.0
_RELEASE_EVERY_S = 30.0


async def store(context: Context, migrate: Callable[[Client], list[str]]) -> None:
    """Archive, recompute and answer queries until the context says stop.

    migrate brings the store's tables up to date; it lies above this layer.
    """
    keep_freed_memory()
    settings = context.settings
    feed = ConfigFeed(context)
    queries = Queries(settings, feed.ring.tenant)
    producer = make_producer(settings)
    verifier = Verifier(queries)
    administration = Administration(context, feed, queries, producer)
    await context.serve(
        [
            *SqlApi(feed.ring, queries, context.metrics).routes(),
            *VerifyApi(feed.ring, verifier, context.metrics).routes(),
            *ExportApi(feed.ring, queries, context.metrics).routes(),
            *AnomaliesApi(feed.ring, queries, context.metrics).routes(),
            *administration.routes(),
        ]
    )
    engine = await _open(context, migrate)
    queries.open(engine)
    gate, news = Gate(disk_of_store(settings)), News()
    watchers = [asyncio.create_task(watch) for watch in _watches(context, engine, gate, news)]
    try:
        await ensure_topics(settings)
        await producer.start()
        watchers += await administration.begin(engine, gate)
        context.health.set("start", None)
        archive = _archive(
            context,
            Writer(engine, context.metrics, now_ms, news),
            producer,
            gate,
            feed.ring.skips,
        )
        watchers.append(SelfCheck(context, feed.ring, verifier, archive.evidence).start())
        await archive.run()
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await asyncio.to_thread(queries.close)
        await context.stop_serving()
        await administration.stop()
        # A broker that is away would keep stop() waiting for ever (aiokafka's issue 1101).
        await asyncio.wait_for(producer.stop(), _PRODUCER_STOP_S)
        await _close(context, engine, gate)


async def _open(context: Context, migrate: Callable[[Client], list[str]]) -> Engine:
    """Open the store and bring its tables up to date; a server that is away is tried again."""
    settings = context.settings
    limits = Limits(settings.query_timeout_s, settings.query_memory_bytes, settings.query_max_rows)
    bounds = Bounds.of(settings)
    while True:
        try:
            engine = await asyncio.to_thread(Engine, settings.store_url, limits, bounds=bounds)
            break
        except StoreUnavailable as error:
            if settings.store_url.startswith("chdb://"):
                raise
            context.health.set("store", str(error))
            context.log.warning("store away", error=str(error))
            await asyncio.sleep(_RETRY_S)
    applied = await asyncio.to_thread(migrate, engine.writer)
    await asyncio.to_thread(engine.protect)
    context.health.set("store", None)
    context.log.info("store open", database=engine.database, migrations_applied=applied)
    return engine


async def _close(context: Context, engine: Engine, gate: Gate) -> None:
    gate.leave_if_broken(context)
    await asyncio.to_thread(engine.close)


def _archive(
    context: Context, writer: Writer, producer: AIOKafkaProducer, gate: Gate, skips: Skips
) -> Archive:
    letters = DeadLetters("archive", context, producer)
    return Archive(context, writer, letters, gate=gate, skips=skips)


def _watches(
    context: Context, engine: Engine, gate: Gate, news: News
) -> Iterator[Coroutine[None, None, None]]:
    """Yield what runs beside the archive until cancelled."""
    yield watch_anomalies(context, engine, news)
    yield watch_retention(context, engine)
    yield watch_parts(context, engine, gate)
    yield watch_broker(context)
    if engine.embedded:
        yield _release_memory(engine)
    if gate.disk is not None:
        yield watch_disk(context, gate.disk)
        yield watch_broken_parts(context, gate)


async def _release_memory(engine: Engine) -> None:
    """Give unused memory back every half minute, until cancelled: an idle store is small."""
    while True:
        await asyncio.to_thread(engine.purge_allocator)
        await asyncio.to_thread(release_memory)
        await asyncio.sleep(_RELEASE_EVERY_S)

"""Runs roles inside a test, on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.config import ConfigRecord, encode_entry
from schemas.topics import Topic
from tests.waiting import wait_until_async
from topology.bootstrap import bootstrap_records
from topology.clock import now_ms
from topology.config_feed import make_ring
from topology.keys import generate_key
from topology.metrics import Metrics
from topology.producer import make_producer
from topology.runtime import Context, Health
from topology.settings import Settings
from topology.tenants import DEFAULT_TENANT, built_in_tiers, default_tenant
from topology.topics import ensure_topics, partition_count


def make_context(role: str, settings: Settings) -> Context:
    """Return what run_role would give a role, without signals and log files."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger(role)
    return Context(role, settings, Metrics(), Health(), log, asyncio.Event())


@asynccontextmanager
async def running(
    main: Callable[[Context], Awaitable[None]], context: Context
) -> AsyncIterator[Context]:
    """Run a role until the block ends; it has started when the block begins."""
    task = asyncio.ensure_future(main(context))

    async def is_ready_or_over() -> bool:
        return task.done() or "start" not in context.health.reasons()

    try:
        await wait_until_async(is_ready_or_over, 30, f"start of {context.role}")
        if task.done():
            task.result()
        yield context
    finally:
        context.stopping.set()
        await asyncio.wait_for(task, 20)
        await context.stop_serving()


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Give a producer to a block."""
    producer = make_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def bootstrap(settings: Settings, scopes: tuple[str, ...] | None = None) -> str:
    """Make the topics, the default tenant and a key of it; return the key's text."""
    await ensure_topics(settings)
    ring = make_ring(settings)
    records = bootstrap_records(
        ring, settings.key_file, default_tenant(settings), built_in_tiers(), now_ms()
    )
    text = settings.key_file.read_text().strip()
    if scopes is not None:
        key, text = generate_key(DEFAULT_TENANT, scopes, secret=ring.secret)
        records.append(encode_entry(key))
    await publish_config(settings, records)
    return text


async def publish_config(settings: Settings, records: list[ConfigRecord]) -> None:
    """Publish records of topic config past the store that would write them."""
    async with producing(settings) as producer:
        for key, value in records:
            await producer.send_and_wait(settings.topic(Topic.CONFIG), value, key=key, partition=0)


async def read_topic(settings: Settings, topic: Topic) -> list[ConsumerRecord]:
    """Return all records that now stand in a topic, partition after partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(settings.topic(topic), number)
            for number in range(partition_count(topic, settings))
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                batches = await consumer.getmany(partition, timeout_ms=500)
                records += batches.get(partition, [])
        return records
    finally:
        await consumer.stop()

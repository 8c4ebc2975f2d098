"""Follows the compacted topic `config`, so that every process knows tenants and keys."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import InvalidRecord
from schemas.topics import Topic
from topology.keys import KeyRing
from topology.runtime import Context
from topology.secrets import load_key_secret
from topology.settings import Settings
from topology.tenants import caps_of

# A fetch that finds nothing waits so long at the broker: fewer idle requests, no later answer.
_FETCH_WAIT_MS = 5_000
_HEALTH = "keys"


def make_ring(settings: Settings) -> KeyRing:
    """Return an empty key ring of this deployment."""
    return KeyRing(load_key_secret(settings), caps_of(settings))


def make_config_consumer(
    settings: Settings, fetch_wait_ms: int = _FETCH_WAIT_MS
) -> AIOKafkaConsumer:
    """Return a consumer that sees committed changes only."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        fetch_max_wait_ms=fetch_wait_ms,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )


class Follower(Protocol):
    """What records are applied to. problem: why it is of no use, where that is so."""

    is_loaded: bool
    problem: str | None

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one record. Raises InvalidRecord."""


FollowerT = TypeVar("FollowerT", bound=Follower)


class FollowingFeed(Generic[FollowerT]):
    """Something that is kept current; after `start` it holds all that stands in the topic."""

    def __init__(self, context: Context, ring: FollowerT) -> None:
        self.ring = ring
        self._context = context
        self._partition = TopicPartition(context.settings.topic(Topic.CONFIG), 0)
        self._consumer = make_config_consumer(context.settings)
        self._follower: asyncio.Task[None] | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._next_offset = 0
        self._moved = asyncio.Condition()

    async def start(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Read the topic to its end, then go on following it in the background.

        on_change is called after records have been applied, first during this call if any.
        """
        self.on_change = on_change
        await self._consumer.start()
        # Before the assignment: behind a fetch that waits at the broker it would take as long.
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        self._consumer.assign([self._partition])
        while await self._consumer.position(self._partition) < end:
            await self._apply_next()
        self.ring.is_loaded = True
        self._follower = asyncio.create_task(self._follow())
        self._follower.add_done_callback(self._end)

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._consumer.stop()

    async def reached(self, offset: int, deadline_s: float) -> bool:
        """Wait until the record of this offset is applied; False if it is not within the deadline.

        So whoever has just changed something finds it changed here.
        """
        try:
            async with asyncio.timeout(deadline_s), self._moved:
                await self._moved.wait_for(lambda: self._next_offset > offset)
        except TimeoutError:
            return False
        return True

    def _end(self, follower: asyncio.Task[None]) -> None:
        if not follower.cancelled() and (bug := follower.exception()) is not None:
            self._context.fail(f"config feed: {bug!r}")

    async def _follow(self) -> None:
        while True:
            try:
                await self._apply_next()
            except KafkaError as error:
                # aiokafka reconnects by itself; the ring stays as it was meanwhile.
                self._context.log.warning("config feed", error=str(error))
                await asyncio.sleep(1)

    async def _apply_next(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=500)
        records = batches.get(self._partition, [])
        for record in records:
            try:
                self.ring.apply(record.key or b"", record.value)
            except InvalidRecord as error:
                topic = Topic.CONFIG.value
                self._context.metrics.records_dead_lettered.labels(topic, "undecodable").inc()
                self._context.log.warning("config ignored", offset=record.offset, error=str(error))
        if records:
            self._context.health.set(_HEALTH, self.ring.problem)
            self.on_change()
            async with self._moved:
                self._next_offset = records[-1].offset + 1
                self._moved.notify_all()


class ConfigFeed(FollowingFeed[KeyRing]):
    """Tenants and keys that are kept current."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, make_ring(context.settings))

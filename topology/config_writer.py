"""Changes topic `config`, for several stores at once, without losing an update.

All writers share one transactional id, so the broker lets the newest of them commit and fences the
others. A change is worked out from all that is committed, which is read after the writer has
become the newest; if another one has become so since then, the commit fails and the change is
worked out again. So each change sees the one before it, whoever made that.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import RecordMetadata

from schemas.config import ConfigRecord
from schemas.errors import InvalidRecord
from schemas.events import Event, encode_events
from schemas.topics import Topic
from topology.config_feed import make_config_consumer, make_ring
from topology.keys import KeyRing
from topology.settings import Settings

_DEADLINE_S = 15.0
# Before another attempt: two that begin again at once would fence each other for ever.
_FIRST_PAUSE_MS, _LAST_PAUSE_MS = 50, 2_000
# What asks for the end waits behind a fetch that finds nothing.
_FETCH_WAIT_MS = 20
_STOP_S = 3.0


class ConfigUnavailable(Exception):
    """The broker did not confirm a change: whether it was made can only be looked up."""


@dataclass(frozen=True, slots=True)
class Change:
    """Records of topic `config`, and what is to be told of them on topic `events`."""

    records: Sequence[ConfigRecord]
    events: Sequence[Event] = field(default_factory=tuple)


class _NotCommitted(Exception):
    """An attempt that has changed nothing; whatever it has written, the broker gives up."""


class ConfigWriter:
    """Makes changes one after the other; costs nothing before the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(Topic.CONFIG)
        self._partition = TopicPartition(self._topic, 0)
        self._one_at_a_time = asyncio.Lock()
        # What ended the last attempt.
        self._problem = ""
        self._ring: KeyRing | None = None
        self._written = -1
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def change(self, plan: Callable[[KeyRing], Change]) -> int:
        """Make the change that plan works out of what holds now; return its last offset.

        plan may raise to refuse, and may be called again. A change of nothing returns -1.
        Raises ConfigUnavailable.
        """
        async with self._one_at_a_time:
            self._problem = ""
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    return await self._until_committed(plan)
            except (KafkaError, OSError, TimeoutError) as error:
                await self._let_go()
                problem = self._problem or repr(error)
                raise ConfigUnavailable(
                    f"the broker did not confirm the change ({problem}): look whether it was "
                    "made, then try again"
                ) from None

    async def stop(self) -> None:
        """Give the connections back."""
        async with self._one_at_a_time:
            await self._let_go()

    async def _until_committed(self, plan: Callable[[KeyRing], Change]) -> int:
        pause_ms = _FIRST_PAUSE_MS
        while True:
            try:
                return await self._try(plan)
            except _NotCommitted as error:
                self._problem = str(error)
                await self._let_go()
                await asyncio.sleep(secrets.randbelow(pause_ms) / 1000)
                pause_ms = min(2 * pause_ms, _LAST_PAUSE_MS)

    async def _try(self, plan: Callable[[KeyRing], Change]) -> int:
        producer = await self._begin()
        change = plan(await self._read())
        if not change.records:
            return -1
        try:
            sent = await self._send(producer, change)
        except KafkaError as error:
            # Fenced, which comes under several names, or away.
            raise _NotCommitted(repr(error)) from None
        written = int(max(one.offset for one in sent if one.topic == self._topic))
        try:
            await producer.commit_transaction()
        except (ProducerFenced, InvalidProducerEpoch, IllegalOperation) as error:
            raise _NotCommitted(repr(error)) from None
        except KafkaError as error:
            # A broker that is just fencing this writer says that it does not know.
            if not await self._is_committed(written):
                raise _NotCommitted(repr(error)) from None
        self._written = written
        return written

    async def _is_committed(self, offset: int) -> bool:
        """Whether a record stands in the log, once this is a new writer and nothing is open."""
        await self._let_go()
        await self._begin()
        assert self._consumer is not None
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        self._consumer.seek(self._partition, offset)
        found = False
        while not found and await self._consumer.position(self._partition) < end:
            batches = await self._consumer.getmany(timeout_ms=100)
            found = any(one.offset == offset for one in batches.get(self._partition, []))
        await self._consumer.seek_to_beginning(self._partition)
        return found

    async def _send(self, producer: AIOKafkaProducer, change: Change) -> list[RecordMetadata]:
        await producer.begin_transaction()
        sends = [
            await producer.send(self._topic, value, key=key, partition=0)
            for key, value in change.records
        ]
        if change.events:
            events = encode_events(change.events)
            sends.append(await producer.send(self._settings.topic(Topic.EVENTS), events))
        found: list[RecordMetadata] = await asyncio.gather(*sends)
        return found

    async def _begin(self) -> AIOKafkaProducer:
        """Return the producer; a new one becomes the newest writer, and what it reads is complete.

        That it is the newest is settled when the broker has given it its epoch.
        """
        if self._producer is None:
            self._ring = make_ring(self._settings)
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka_bootstrap,
                transactional_id=f"{self._settings.topic_prefix}config-writer",
                transaction_timeout_ms=int(_DEADLINE_S * 1000),
            )
            await self._producer.start()
            await self._producer._txn_manager.wait_for_pid()  # noqa: SLF001 - begins with no transaction
            self._consumer = make_config_consumer(self._settings, _FETCH_WAIT_MS)
            await self._consumer.start()
            self._consumer.assign([self._partition])
            await self._consumer.seek_to_beginning(self._partition)
        return self._producer

    async def _read(self) -> KeyRing:
        """Return what holds now."""
        assert self._consumer is not None
        assert self._ring is not None
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        # A commit is confirmed a moment before readers see it.
        end = max(end, self._written + 1)
        self._consumer.resume(self._partition)
        while await self._consumer.position(self._partition) < end:
            batches = await self._consumer.getmany(timeout_ms=100)
            for record in batches.get(self._partition, []):
                # What cannot be read holds for nobody; the feed says so.
                with contextlib.suppress(InvalidRecord):
                    self._ring.apply(record.key or b"", record.value)
        # It fetches in the background, all the time.
        self._consumer.pause(self._partition)
        return self._ring

    async def _let_go(self) -> None:
        clients = [one for one in (self._producer, self._consumer) if one is not None]
        if self._producer is not None:
            # What ended its transaction is known; asyncio would say that nobody asked for it.
            ended = self._producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001 - as above
            if ended is not None and ended.done() and not ended.cancelled():
                ended.exception()
        self._producer = self._consumer = self._ring = None
        for client in clients:
            # A broker that is away would keep stop() waiting for ever (aiokafka's issue 1101).
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(client.stop(), _STOP_S)

"""Keeps what topic `events` tells: audit entries, uses of keys, and refused samples."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import InvalidRecord
from schemas.events import Audited, Event, KeyUsed, Rejected, decode_events
from schemas.topics import Topic
from topology.dead_letters import DeadLetters, Place
from topology.runtime import Context
from topology.store.client import Engine
from topology.store.gate import Gate

_POLL_MS = 1_000
_RETRY_S = 2.0
_MAX_RECORDS = 200
_MS = pa.timestamp("ms", tz="UTC")
_MAP = pa.map_(pa.string(), pa.string())


class EventArchive:
    """Reads the topic as one of a group, writes upserts, commits after the write."""

    def __init__(
        self, context: Context, engine: Engine, dead_letters: DeadLetters, gate: Gate
    ) -> None:
        self._context = context
        self._engine = engine
        self._dead_letters = dead_letters
        self._gate = gate
        settings = context.settings
        self._consumer = AIOKafkaConsumer(
            settings.topic(Topic.EVENTS),
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=f"{settings.topic_prefix}events",
            group_instance_id=f"events-{settings.slot}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=5_000,
            max_poll_interval_ms=86_400_000,
        )

    async def run(self) -> None:
        """Read and write until cancelled."""
        try:
            await self._until_done(self._consumer.start)
            while True:
                batches = await self._consumer.getmany(
                    timeout_ms=_POLL_MS, max_records=_MAX_RECORDS
                )
                for place, records in batches.items():
                    await self._keep(place, records)
        finally:
            await self._consumer.stop()

    async def _keep(self, place: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        events: list[Event] = []
        for record in records:
            try:
                events += decode_events(record.value or b"")
            except InvalidRecord as error:
                at = Place(Topic.EVENTS, record.partition, record.offset)
                await self._dead_letters.send(at, record.value or b"", str(error))

        async def write() -> None:
            await self._gate.wait()
            await asyncio.to_thread(self._engine.operate, lambda client: insert(client, events))
            await asyncio.to_thread(self._gate.leave_if_broken, self._context)

        await self._until_done(write)
        try:
            await self._consumer.commit({place: records[-1].offset + 1})
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            # Whoever reads them again writes the same rows.
            self._context.log.info("commit refused", topic=place.topic, error=str(error))

    async def _until_done(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                await work()
            except (KafkaError, ClickHouseError, OSError) as error:
                self._context.log.warning("events not kept", error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return


def insert(client: Any, events: Sequence[Event]) -> None:
    """Insert events into their tables. Raises ClickHouseError."""
    audited = [one for one in events if isinstance(one, Audited)]
    used = [one for one in events if isinstance(one, KeyUsed)]
    if audited:
        client.insert_arrow("stored_audit", _table(audited, {"time_ms": "time"}))
    if used:
        names = {"time_ms": "last_used"}
        client.insert_arrow("stored_key_uses", _table(used, names))

    rejected = [one for one in events if isinstance(one, Rejected)]
    if rejected:
        client.insert_arrow("stored_rejections", _table(rejected, {"hour_ms": "hour"}))


def _table(events: Sequence[msgspec.Struct], renamed: dict[str, str]) -> pa.Table:
    """Return events of one kind as rows; a field in ms becomes a time under its new name."""
    columns: dict[str, Any] = {}
    for field in events[0].__struct_fields__:
        values = [getattr(one, field) for one in events]
        if field in renamed:
            columns[renamed[field]] = pa.array(values, _MS)
        elif isinstance(values[0], dict):
            columns[field] = pa.array([list(one.items()) for one in values], _MAP)
        else:
            columns[field] = values
    return pa.table(columns)

"""The series of a replay: without them its rows would have ids and no labels."""

from aiokafka import TopicPartition

from ops.replay.live import Live, pieces
from ops.replay.log_source import LogSource
from ops.replay.plan import Span
from ops.replay.tables import Tables
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.settings import Settings
from topology.store.batch import MAX_BYTES, Batch
from topology.store.export import Piece

# A live series is announced once an hour.
_ANNOUNCED_MS = 2 * 3_600_000


async def copy_announced(settings: Settings, span: Span, own: Tables) -> None:
    """Copy what topic series says, from some hours before the span to its end."""
    source = LogSource(settings, Topic.SERIES)
    try:
        await source.open(max(0, span.begin_ms - _ANNOUNCED_MS), {})
        batch = Batch(0.0)
        async for record in source.records():
            place = TopicPartition(Topic.SERIES, record.partition)
            try:
                batch.add(Topic.SERIES, place, record.offset, record.payload)
            except (InvalidRecord, UnknownVersion):
                continue  # dead-lettered by the stages
            if batch.n_bytes >= MAX_BYTES:
                own.apply(batch)
                batch = Batch(0.0)
        own.apply(batch)
    finally:
        await source.close()


def copy_stored(live: Live, own: Tables) -> None:
    """Copy the series of the live store."""
    for tenant in live.tenants():
        for _, rows in pieces(live.read, "series", Piece(tenant, 0, 0)):
            own.engine.writer.insert_arrow("stored_series", rows)

"""Records at which a partition stands still: what is there, and whether they may be passed over."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from ops.partitions import PartitionsError, connect
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.dead_letters import MAX_RECORD_BYTES
from topology.settings import Settings
from topology.store.archive import TOPICS
from topology.store.batch import Batch
from topology.topics import count_partitions

# Consumer groups that read a topic, beside the archive, which reads all of them.
_READERS = {Topic.SAMPLES: ("window", "archive"), Topic.ROLLUPS: ("score", "archive")}
_READ_MS = 500
_COORDINATOR_S = 10.0
_EXAMPLES = 3


@dataclass(slots=True)
class Stretch:
    """Records of a partition from the first that some reader has not done to before an offset.

    committed: by reader. unreadable: records that no build reads; newer: of a newer format; cut:
    those of both that are too long to be kept whole. first, last: offsets of such a record.
    """

    topic: str
    partition: int
    from_offset: int
    until_offset: int
    end_offset: int
    committed: dict[str, int]
    n_records: int = 0
    unreadable: int = 0
    newer: int = 0
    cut: int = 0
    first: int | None = None
    last: int | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, record: ConsumerRecord) -> None:
        """Count a record, by what the store's reader says of it."""
        self.n_records += 1
        place = TopicPartition(record.topic, record.partition)
        payload = record.value or b""
        try:
            Batch(0.0).add(Topic(self.topic), place, record.offset, payload)
            return
        except UnknownVersion as error:
            self.newer += 1
            reason = str(error)
        except InvalidRecord as error:
            self.unreadable += 1
            reason = str(error)
        self.cut += len(payload) > MAX_RECORD_BYTES
        self.first = record.offset if self.first is None else self.first
        self.last = record.offset
        if len(self.reasons) < _EXAMPLES or reason in self.reasons:
            self.reasons[reason] += 1

    def shown(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)

    def why_not(self, *, even_newer: bool) -> str | None:
        """Return why these records should not be passed over, None where they may."""
        name = f"{self.topic} partition {self.partition}"
        if self.last is None:
            return (
                f"{name}: all {self.n_records} records from offset {self.from_offset} to before "
                f"{self.until_offset} can be read: there is nothing to pass over"
            )
        if self.newer and not even_newer:
            return (
                f"{name}: {self.newer} of these records are of a newer format: a newer build reads "
                "them, start that. Or pass over them, too, by --even-newer; `observai dead-letters "
                "replay` of the newer build puts back what is kept whole"
            )
        return None


async def look(settings: Settings, topic: str, partition: int, until: int | None) -> Stretch:
    """Return what there is before an offset, or up to the end. Raises PartitionsError."""
    known = next((one for one in TOPICS if one == topic), None)
    if known is None:
        raise PartitionsError(f"topic {topic!r}: one of {', '.join(TOPICS)}")
    admin = await connect(settings)
    try:
        n_partitions = (await count_partitions(admin, settings)).get(known, 0)
        if not 0 <= partition < n_partitions:
            raise PartitionsError(f"partition {partition}: topic {topic} has {n_partitions}")
        place = TopicPartition(settings.topic(known), partition)
        readers = _READERS.get(known, ("archive",))
        committed = {one: await _committed(admin, settings, one, place) for one in readers}
        return await _read(settings, known, place, committed, until)
    except KafkaError as error:
        raise PartitionsError(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from None
    finally:
        await admin.close()


async def _committed(
    admin: AIOKafkaAdminClient, settings: Settings, reader: str, place: TopicPartition
) -> int | None:
    until_s = time.monotonic() + _COORDINATOR_S
    while True:
        try:
            found = await admin.list_consumer_group_offsets(f"{settings.topic_prefix}{reader}")
        except GroupCoordinatorNotAvailableError:
            # A broker that has no group yet is about to make the topic for them.
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(_READ_MS / 1000)
        else:
            return found[place].offset if place in found else None


async def _read(
    settings: Settings,
    topic: Topic,
    place: TopicPartition,
    committed: Mapping[str, int | None],
    until: int | None,
) -> Stretch:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False
    )
    await consumer.start()
    try:
        begin = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        done = {reader: offset for reader, offset in committed.items() if offset is not None}
        first = max(begin, min(done.values(), default=begin))
        last = end if until is None else until
        if not first < last <= end:
            raise PartitionsError(
                f"--to {last}: {topic} partition {place.partition} has records from {begin} to "
                f"before {end}, of which those before {first} are done"
            )
        found = Stretch(topic.value, place.partition, first, last, end, done)
        consumer.assign([place])
        consumer.seek(place, first)
        while await consumer.position(place) < last:
            batches = await consumer.getmany(place, timeout_ms=_READ_MS)
            for record in batches.get(place, []):
                if record.offset < last:
                    found.note(record)
        return found
    finally:
        await consumer.stop()

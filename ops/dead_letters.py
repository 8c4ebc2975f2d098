"""Dead letters: shown, and those that this build can read put back where they were."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ops.partitions import PartitionsError, connect
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.events import decode_events
from schemas.rollups import decode_rollups
from schemas.samples import SampleBlock, decode_samples
from schemas.scores import decode_scores
from schemas.series import SeriesBlock, decode_series
from schemas.topics import PARTITIONED, Topic, partition_of
from topology.producer import make_producer
from topology.settings import Settings
from topology.topics import count_partitions

_READ_MS = 500
_DECODERS: dict[Topic, Callable[[bytes], Sequence[Any]]] = {
    Topic.SAMPLES: decode_samples,
    Topic.SERIES: decode_series,
    Topic.ROLLUPS: decode_rollups,
    Topic.RECOMPUTE: decode_rollups,
    Topic.SCORES: decode_scores,
    Topic.EVENTS: decode_events,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, when it was written, the stages that wrote it, and why it stays, if so."""

    letter: DeadLetter
    time_ms: int
    stages: tuple[str, ...] = ()
    stays: str | None = None

    def shown(self) -> dict[str, Any]:
        """Return what a list shows of it."""
        fields = asdict(replace(self, letter=msgspec.structs.replace(self.letter, record=b"")))
        del fields["letter"]
        place = {name: getattr(self.letter, name) for name in ("topic", "partition", "offset")}
        size = {"bytes": len(self.letter.record), "reason": self.letter.reason}
        return place | size | fields


async def look(settings: Settings) -> list[Letter]:
    """Return all letters that Kafka has, one a record, each judged. Raises PartitionsError."""
    admin = await connect(settings)
    try:
        counts = await count_partitions(admin, settings)
    finally:
        await admin.close()
    found = merge(await _read(settings) if Topic.DEAD_LETTERS in counts else [])
    return [replace(one, stays=why_it_stays(one.letter, counts)) for one in found]


def merge(letters: Iterable[Letter]) -> list[Letter]:
    """Return one letter a record: each stage that reads it sends its own."""
    found: dict[tuple[str, int, int], Letter] = {}
    for one in letters:
        place = (one.letter.topic, one.letter.partition, one.letter.offset)
        known = found.get(place, replace(one, stages=()))
        found[place] = replace(known, stages=(*dict.fromkeys((*known.stages, one.letter.stage)),))
    return list(found.values())


def why_it_stays(letter: DeadLetter, counts: Mapping[Topic, int]) -> str | None:
    """Return why a record cannot be put back, None for one that can.

    counts: number of partitions by topic.
    """
    topic = next((one for one in _DECODERS if one == letter.topic), None)
    if topic is None:
        return f"nothing is put back on topic {letter.topic}"
    try:
        blocks = _DECODERS[topic](letter.record)
    except (InvalidRecord, UnknownVersion) as error:
        return f"cannot be read by this build either: {error}"
    n_partitions = counts.get(topic, 0)
    if letter.partition >= n_partitions:
        return f"topic {topic} has {n_partitions} partitions"
    for block in blocks:
        if topic in PARTITIONED and isinstance(block, SampleBlock | SeriesBlock):
            homes = partition_of(block.series_ids, n_partitions)
            if np.any(homes != letter.partition):
                return "its series are on other partitions since those were grown"
    return None


async def put_back(settings: Settings, letters: Sequence[Letter]) -> Counter[str]:
    """Publish the records that do not stay again; return how many by topic.

    Whoever does it twice changes nothing more: all that is stored is an upsert.
    Raises PartitionsError.
    """
    done: Counter[str] = Counter()
    producer = make_producer(settings)
    try:
        await producer.start()
        for one in letters:
            if one.stays is None:
                letter = one.letter
                name = settings.topic(Topic(letter.topic))
                await producer.send_and_wait(name, letter.record, partition=letter.partition)
                done[letter.topic] += 1
    except KafkaError as error:
        raise PartitionsError(
            f"Kafka at {settings.kafka_bootstrap}: {error!r}; {done.total()} were put back"
        ) from None
    finally:
        await producer.stop()
    return done


async def _read(settings: Settings) -> list[Letter]:
    place = TopicPartition(settings.topic(Topic.DEAD_LETTERS), 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False
    )
    letters: list[Letter] = []
    try:
        await consumer.start()
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            batches = await consumer.getmany(place, timeout_ms=_READ_MS)
            letters += [
                Letter(decode_dead_letter(one.value or b""), one.timestamp)
                for one in batches.get(place, [])
            ]
    except KafkaError as error:
        raise PartitionsError(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from None
    finally:
        await consumer.stop()
    return letters

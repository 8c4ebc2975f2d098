"""Checkpoints of the worker's stages: shown, and given up where no build can read them."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops.partitions import PartitionsError, connect
from schemas.checkpoints import WINDOWS
from schemas.chunks import Format
from schemas.score_checkpoints import SCORES
from schemas.topics import Topic
from topology.producer import make_producer
from topology.settings import Settings
from topology.topics import count_partitions
from topology.worker.checkpoints import CheckpointStore, Loaded

_Found = TypeVar("_Found")

# Stage and partition.
Owner = tuple[str, int]

FORMATS: dict[str, Format[Any]] = {form.stage: form for form in (WINDOWS, SCORES)}


async def look(settings: Settings, stage: str = WINDOWS.stage) -> dict[int, Loaded[Any]]:
    """Return what there is of each partition of a stage. Raises PartitionsError."""
    n_partitions = await _n_partitions(settings)

    async def load(producer: AIOKafkaProducer) -> dict[int, Loaded[Any]]:
        return await _store(settings, producer, stage).load(range(n_partitions))

    return await _with_producer(settings, load)


async def drop(
    settings: Settings, partition: int | None, stage: str = WINDOWS.stage
) -> dict[int, int]:
    """Give up one partition's state, or that of all that cannot be read.

    Return the number of records that are no more, by partition. Raises PartitionsError.
    """
    found = await look(settings, stage)
    if partition is not None and partition not in found:
        raise PartitionsError(f"--partition {partition}: there are {len(found)}, from 0 on")
    lost = [number for number, one in found.items() if one.is_lost]

    async def give_up(producer: AIOKafkaProducer) -> dict[int, int]:
        store = _store(settings, producer, stage)
        numbers = lost if partition is None else [partition]
        return {number: await store.drop(number) for number in numbers}

    return await _with_producer(settings, give_up)


async def look_at_all(settings: Settings) -> dict[Owner, Loaded[Any]]:
    """Return what there is of each stage and partition. Raises PartitionsError."""
    return {
        (stage, number): one
        for stage in FORMATS
        for number, one in (await look(settings, stage)).items()
    }


async def drop_all(settings: Settings, partition: int | None) -> dict[Owner, int]:
    """Do `drop` for all stages."""
    return {
        (stage, number): n_records
        for stage in FORMATS
        for number, n_records in (await drop(settings, partition, stage)).items()
    }


def _store(settings: Settings, producer: AIOKafkaProducer, stage: str) -> CheckpointStore[Any]:
    return CheckpointStore(settings, producer, FORMATS[stage])


async def _n_partitions(settings: Settings) -> int:
    admin = await connect(settings)
    try:
        return (await count_partitions(admin, settings)).get(Topic.CHECKPOINTS, 0)
    finally:
        await admin.close()


async def _with_producer(
    settings: Settings, work: Callable[[AIOKafkaProducer], Awaitable[_Found]]
) -> _Found:
    producer = make_producer(settings)
    try:
        await producer.start()
        return await work(producer)
    except KafkaError as error:
        raise PartitionsError(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from None
    finally:
        await producer.stop()

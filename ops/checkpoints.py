"""Checkpoints of the window stage: shown, and given up where no build can read them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops.partitions import PartitionsError, connect
from schemas.topics import Topic
from topology.producer import make_producer
from topology.settings import Settings
from topology.topics import count_partitions
from topology.worker.checkpoints import CheckpointStore, Loaded

_Found = TypeVar("_Found")


async def look(settings: Settings) -> dict[int, Loaded]:
    """Return what there is of each partition. Raises PartitionsError."""
    n_partitions = await _n_partitions(settings)

    async def load(producer: AIOKafkaProducer) -> dict[int, Loaded]:
        return await CheckpointStore(settings, producer).load(range(n_partitions))

    return await _with_producer(settings, load)


async def drop(settings: Settings, partition: int | None) -> dict[int, int]:
    """Give up one partition's state, or that of all that cannot be read.

    Return the number of records that are no more, by partition. Raises PartitionsError.
    """
    found = await look(settings)
    if partition is not None and partition not in found:
        raise PartitionsError(f"--partition {partition}: there are {len(found)}, from 0 on")
    lost = [number for number, one in found.items() if one.is_lost]

    async def give_up(producer: AIOKafkaProducer) -> dict[int, int]:
        store = CheckpointStore(settings, producer)
        numbers = lost if partition is None else [partition]
        return {number: await store.drop(number) for number in numbers}

    return await _with_producer(settings, give_up)


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

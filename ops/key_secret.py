"""Gives the secret of the keys' digests up, so that the next start takes another one."""

from aiokafka.errors import KafkaError

from ops.partitions import PartitionsError
from schemas.config import Kind
from schemas.topics import Topic
from topology.producer import make_producer
from topology.settings import Settings

# As schemas.config.encode_entry has it.
_RECORD = f"{Kind.SECRET.value}/keys".encode()


async def forget(settings: Settings) -> None:
    """Remove the secret's fingerprint from topic `config`. Raises PartitionsError.

    A store that starts then publishes that of its own, and a new key in DATA_DIR/default.key.
    """
    producer = make_producer(settings)
    try:
        await producer.start()
        await producer.send_and_wait(settings.topic(Topic.CONFIG), None, key=_RECORD, partition=0)
    except KafkaError as error:
        raise PartitionsError(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from None
    finally:
        await producer.stop()

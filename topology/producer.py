"""The idempotent producer that all roles publish with."""

from aiokafka import AIOKafkaProducer

from topology.settings import Settings

# The broker's limit (1 MiB) applies to a batch, so batches stay below it.
MAX_BATCH_BYTES = 900_000
# Nothing that we encode is larger; the topics allow it with room to spare.
MAX_RECORD_BYTES = 880_000
ACK_TIMEOUT_S = 10.0


def make_producer(settings: Settings) -> AIOKafkaProducer:
    """Return a producer whose acknowledgement means: on every in-sync replica, once."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=8 << 20,
        request_timeout_ms=10_000,
        compression_type=None,
    )

"""Asks Kafka for metadata now and then, and tells the role's health what came of it."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from topology.runtime import Context

CHECK_S = 5.0
# Until Kafka is there, ask often: the whole start waits for this answer.
_FIRST_CHECKS_S = 0.1
_TIMEOUT_MS = 4_000


async def watch_broker(context: Context) -> None:
    """Keep the health's part "kafka" true until cancelled."""
    client: AIOKafkaClient | None = None
    try:
        while True:
            client = client or await _connect(context)
            if client and not await _is_answering(context, client):
                await client.close()
                client = None
            await asyncio.sleep(CHECK_S if client else _FIRST_CHECKS_S)
    finally:
        if client:
            await client.close()


async def _connect(context: Context) -> AIOKafkaClient | None:
    bootstrap = context.settings.kafka_bootstrap
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=_TIMEOUT_MS)
    try:
        await client.bootstrap()
    except (KafkaError, OSError) as error:
        context.health.set("kafka", f"cannot reach {bootstrap}: {error}")
        await client.close()
        return None
    return client


async def _is_answering(context: Context, client: AIOKafkaClient) -> bool:
    if await client.force_metadata_update():
        context.health.set("kafka", None)
        return True
    context.health.set("kafka", f"no answer from {context.settings.kafka_bootstrap}")
    return False

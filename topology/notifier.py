"""The notifier role: for now it only says whether it could reach Kafka."""

import asyncio
import contextlib

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from topology.runtime import Context

CHECK_S = 5.0
_TIMEOUT_MS = 4_000


async def notifier(context: Context) -> None:
    """Serve health and metrics until the context says stop."""
    await context.serve()
    client: AIOKafkaClient | None = None
    try:
        while not context.stopping.is_set():
            client = client or await _connect(context)
            if client:
                client = await _check(context, client)
            with contextlib.suppress(TimeoutError):
                # Until Kafka is there, ask often: the whole start waits for this answer.
                await asyncio.wait_for(context.stopping.wait(), CHECK_S if client else 0.1)
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
    context.health.set("start", None)
    return client


async def _check(context: Context, client: AIOKafkaClient) -> AIOKafkaClient | None:
    """Ask for metadata over the open connection; None, and the client closed, when it failed."""
    if await client.force_metadata_update():
        context.health.set("kafka", None)
        return client
    context.health.set("kafka", f"no answer from {context.settings.kafka_bootstrap}")
    await client.close()
    return None

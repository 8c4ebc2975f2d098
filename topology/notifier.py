"""The notifier role: for now it only says whether it could reach Kafka."""

import asyncio

from topology.broker_watch import watch_broker
from topology.runtime import Context


async def notifier(context: Context) -> None:
    """Serve health and metrics until the context says stop."""
    context.health.set("kafka", "not asked yet")
    await context.serve()
    context.health.set("start", None)
    watch = asyncio.create_task(watch_broker(context))
    await context.stopping.wait()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)

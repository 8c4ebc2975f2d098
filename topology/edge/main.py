"""The edge role: starts its parts in order and stops them in the reverse."""

import asyncio

from pipeline.warm_edge import compile_edge
from topology.config_feed import ConfigFeed
from topology.disk import disk_of_broker, watch_disk
from topology.edge.http import Edge
from topology.edge.intake import Registry
from topology.edge.publisher import Publisher
from topology.producer import make_producer
from topology.reports import Reports
from topology.runtime import Context
from topology.topics import ensure_topics


async def edge(context: Context) -> None:
    """Take samples in by HTTP until the context says stop."""
    health = context.health
    health.set("tenants", "no tenant known yet: the store role publishes the first one")
    feed = ConfigFeed(context)
    producer = make_producer(context.settings)
    registry = Registry(context.settings)
    publisher = Publisher(context, producer, registry.known)
    reports = Reports(context, producer, feed.ring)
    disk = disk_of_broker(context.settings)
    # Beside the wait for the broker: the first request would wait for it.
    kernels = asyncio.create_task(asyncio.to_thread(compile_edge))
    await context.serve(Edge(context, feed.ring, registry, publisher, disk).routes())
    await ensure_topics(context.settings)
    await producer.start()
    works = (publisher.run(), publisher.run_ticks(), reports.run())
    tasks = [asyncio.create_task(work) for work in works]
    if disk is not None:
        tasks.append(asyncio.create_task(watch_disk(context, disk)))
    try:
        await feed.start(on_change=lambda: health.set("tenants", None))
        await kernels
        health.set("start", None)
        await context.stopping.wait()
    finally:
        await context.stop_serving()
        await publisher.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await feed.stop()
        # A broker that is away would keep stop() waiting for ever (aiokafka's issue 1101).
        await asyncio.wait_for(producer.stop(), 3)

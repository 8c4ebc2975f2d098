"""The edge role: starts its parts in order and stops them in the reverse."""

import asyncio
from collections.abc import Coroutine

from pipeline.warm_edge import compile_edge
from topology.config_feed import ConfigFeed
from topology.disk import disk_of_broker, watch_disk
from topology.edge.http import Edge, Parts
from topology.edge.intake import Registry
from topology.edge.peer_series import PeerSeries
from topology.edge.peers import Peers
from topology.edge.publisher import Publisher
from topology.edge.quotas import Quotas
from topology.edge.rejections import Rejections
from topology.producer import make_producer
from topology.reports import Reports
from topology.runtime import Context
from topology.topics import ensure_topics

# A start takes so long at most for the series of an hour; see PeerSeries for what comes after.
_WAIT_FOR_SERIES_S = 5.0


async def edge(context: Context) -> None:
    """Take samples in by HTTP until the context says stop."""
    health = context.health
    health.set("tenants", "no tenant known yet: the store role publishes the first one")
    feed = ConfigFeed(context)
    producer = make_producer(context.settings)
    registry = Registry(context.settings)
    peers = Peers(context, producer, registry)
    series = PeerSeries(context, producer, registry.active)
    parts = Parts(
        feed.ring,
        registry,
        Publisher(context, producer, registry.known),
        Quotas(registry.active, peers.n_live, series.is_complete),
        Rejections(context.log),
        disk_of_broker(context.settings),
    )
    reports = Reports(context, producer, feed.ring, parts.rejections.take)
    # Beside the wait for the broker: the first request would wait for it.
    kernels = asyncio.create_task(asyncio.to_thread(compile_edge))
    await context.serve(Edge(context, parts).routes())
    await ensure_topics(context.settings)
    await producer.start()
    tasks = _begin(context, parts, [reports.run(), peers.run(), series.run()])
    try:
        await feed.start(on_change=lambda: health.set("tenants", None))
        await asyncio.gather(kernels, series.wait(_WAIT_FOR_SERIES_S))
        health.set("start", None)
        await context.stopping.wait()
    finally:
        await context.stop_serving()
        await parts.publisher.drain()
        await peers.leave()
        await reports.tell_last()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await feed.stop()
        # A broker that is away would keep stop() waiting for ever (aiokafka's issue 1101).
        await asyncio.wait_for(producer.stop(), 3)


def _begin(
    context: Context, parts: Parts, others: list[Coroutine[None, None, None]]
) -> list[asyncio.Task[None]]:
    """Begin what goes on in the background."""
    works = [parts.publisher.run(), parts.publisher.run_ticks(), *others]
    if parts.disk is not None:
        works.append(watch_disk(context, parts.disk))
    tasks = [asyncio.create_task(work) for work in works]

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            context.fail(f"edge: {bug!r}")

    for task in tasks:
        task.add_done_callback(end)
    return tasks

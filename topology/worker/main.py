"""The worker role: starts the Faust app and its stage, and stops them in the right order."""

import asyncio
import contextlib
from typing import Any

from aiokafka.errors import KafkaError

from schemas.topics import Topic
from topology.broker_watch import watch_broker
from topology.producer import make_producer
from topology.readers import watch_readers
from topology.runtime import Context
from topology.topics import ensure_topics
from topology.worker.app import WorkerApp, build_app
from topology.worker.checkpoints import CheckpointStore, interval_s
from topology.worker.window_stage import WindowStage

_OBSERVE_S = 1.0


async def worker(context: Context) -> None:
    """Run the window stage until the context says stop."""
    settings = context.settings
    await context.serve()
    await ensure_topics(settings)
    producer = make_producer(settings)
    await producer.start()
    app = build_app(settings, "window")
    stage = WindowStage(context, app, producer, CheckpointStore(settings, producer))
    _connect(context, app, stage)
    await app.start()
    tasks = [
        asyncio.create_task(_checkpoint_regularly(context, stage)),
        asyncio.create_task(_observe_regularly(stage)),
        asyncio.create_task(_watch(context, app)),
        asyncio.create_task(watch_broker(context)),
        asyncio.create_task(_watch_readers(context, app)),
    ]
    await context.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if context.failed is None:
        # Shortens the replay after the restart; a kill instead costs nothing but that.
        await asyncio.wait_for(stage.checkpoint(), 3)
    await asyncio.wait_for(app.stop(), 5)
    await asyncio.wait_for(producer.stop(), 2)


def _connect(context: Context, app: WorkerApp, stage: WindowStage) -> None:
    """Let the app's stream and its rebalances drive the stage."""
    name = context.settings.topic(Topic.SAMPLES)

    async def windows(stream: Any) -> None:
        # Not take(): that acknowledges a record even when this loop raises.
        async for event in stream.noack().events():
            try:
                await stage.take(event)
            except Exception as error:
                # A bug, or a broker that refuses: only a new start reads the record again.
                context.log.exception("window stage")
                context.fail(f"window stage: {error!r}")
                return

    async def revoked(*_: Any, **__: Any) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            await stage.revoke()

    async def assigned(*_: Any, **__: Any) -> None:
        try:
            await stage.assign([tp for tp in app.consumer.assignment() if tp.topic == name])
        except Exception as error:
            # Never go on with state that was not loaded.
            context.log.exception("loading checkpoints")
            context.fail(f"checkpoints: {error!r}")
            raise
        context.health.set("start", None)

    app.agent(app.topic(name, value_serializer="raw"))(windows)
    app.on_partitions_revoked.connect(revoked)
    app.on_rebalance_complete.connect(assigned)


async def _checkpoint_regularly(context: Context, stage: WindowStage) -> None:
    while True:
        await asyncio.sleep(interval_s(context.settings.checkpoint_s, stage.checkpoint_bytes()))
        try:
            await stage.checkpoint()
        except KafkaError as error:
            context.fail(f"checkpoint: {error!r}")


async def _observe_regularly(stage: WindowStage) -> None:
    while True:
        stage.observe()
        await asyncio.sleep(_OBSERVE_S)


async def _watch_readers(context: Context, app: WorkerApp) -> None:
    topics = [context.settings.topic(Topic.SAMPLES)]

    async def rejoin() -> None:
        await app.consumer.subscribe(topics)

    await watch_readers(context, app.conf.id, topics, rejoin)


async def _watch(context: Context, app: WorkerApp) -> None:
    await app.wait_until_stopped()
    context.fail("the Faust app has stopped by itself")

"""The worker role: starts its stages, and stops them in the right order."""

import asyncio
from collections.abc import Callable, Sequence

from topology.broker_watch import watch_broker
from topology.config_feed import FollowingFeed
from topology.producer import make_producer
from topology.runtime import Context
from topology.topics import ensure_topics
from topology.worker.config import WorkerConfig
from topology.worker.running import RunningStage
from topology.worker.score_stage import ScoreWork
from topology.worker.series_feed import SeriesFeed
from topology.worker.window_stage import WindowWork

# Models change little in a minute, and rollups are few: their checkpoints may be seldom.
_SCORES_SELDOM = 10


async def worker(context: Context) -> None:
    """Run the stages until the context says stop."""
    settings = context.settings
    await context.serve()
    await ensure_topics(settings)
    producer = make_producer(settings)
    await producer.start()
    feed, config = SeriesFeed(context), FollowingFeed(context, WorkerConfig())
    await config.start()
    skips, waiting = config.ring.skips, set[str]()
    window = WindowWork(context)
    stages = [RunningStage(context, producer, window, skips, settings.checkpoint_s, waiting)]
    changes: list[Callable[[], None]] = [stages[0].skips_changed]
    if settings.scores:
        await feed.start()
        score = ScoreWork(context, feed, config.ring.rules)
        seldom_s = _SCORES_SELDOM * settings.checkpoint_s
        stages.append(RunningStage(context, producer, score, skips, seldom_s, waiting))
        changes += [stages[1].skips_changed, score.rules_changed]
    config.on_change = _all_of(changes)
    await asyncio.gather(*(stage.app.start() for stage in stages))
    watches = [watch for stage in stages for watch in stage.watches()]
    tasks = [asyncio.create_task(watch) for watch in (*watches, watch_broker(context))]
    await context.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(stage.stop() for stage in stages))
    await feed.stop()
    await config.stop()
    await asyncio.wait_for(producer.stop(), 2)


def _all_of(changes: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def tell() -> None:
        for change in changes:
            change()

    return tell

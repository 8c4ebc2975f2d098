"""The worker role: starts its stages, and stops them in the right order."""

import asyncio

from topology.anomaly_rules import RulesFollower
from topology.broker_watch import watch_broker
from topology.config_feed import FollowingFeed
from topology.producer import make_producer
from topology.runtime import Context
from topology.topics import ensure_topics
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
    feed, rules = SeriesFeed(context), FollowingFeed(context, RulesFollower())
    waiting: set[str] = set()
    window = WindowWork(context)
    stages = [RunningStage(context, producer, window, settings.checkpoint_s, waiting)]
    if settings.scores:
        await feed.start()
        await rules.start()
        score = ScoreWork(context, feed, rules.ring.rules)
        rules.on_change = score.rules_changed
        seldom_s = _SCORES_SELDOM * settings.checkpoint_s
        stages.append(RunningStage(context, producer, score, seldom_s, waiting))
    await asyncio.gather(*(stage.app.start() for stage in stages))
    watches = [watch for stage in stages for watch in stage.watches()]
    tasks = [asyncio.create_task(watch) for watch in (*watches, watch_broker(context))]
    await context.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(stage.stop() for stage in stages))
    await feed.stop()
    await rules.stop()
    await asyncio.wait_for(producer.stop(), 2)

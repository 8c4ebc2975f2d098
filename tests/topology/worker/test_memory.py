"""A worker with too little memory: it forgets series, and leaves their windows to the store."""

import numpy as np
import pytest

from schemas.rollups import RecomputeBlock, RollupBlock, decode_rollups
from schemas.samples import SampleBlock, encode_samples, tick
from schemas.topics import Topic
from tests.topology.running import bootstrap, make_context, read_topic, running
from tests.topology.worker.test_window_stage import publish
from tests.waiting import wait_until_async
from topology.budget import WorkerBudget
from topology.settings import Settings
from topology.worker.main import worker

pytestmark = pytest.mark.broker

MINUTE = 60_000
T0 = 1_700_000_040_000  # a full minute
N_SERIES, PER_RECORD = 160_000, 20_000


def sample_records() -> list[bytes]:
    return [
        encode_samples(
            [
                SampleBlock(
                    *("t", T0, 30),
                    np.arange(first + 1, first + PER_RECORD + 1, dtype=np.uint64),
                    np.full(PER_RECORD, T0),
                    np.ones(PER_RECORD),
                )
            ]
        )
        for first in range(0, N_SERIES, PER_RECORD)
    ]


async def test_series_above_the_budget_are_left_to_the_store(own_settings: Settings) -> None:
    """64 MiB give the one partition's engine 12 MiB; 160,000 series take more."""
    small = {"memory_bytes": 64 << 20, "partitions": 1, "scores": False}
    settings = own_settings.model_copy(update=small)
    await bootstrap(settings)
    context = make_context("worker", settings)
    value = context.metrics.registry.get_sample_value

    async with running(worker, context):
        await publish(settings, 0, [*sample_records(), encode_samples([tick(T0 + 10**6)])])

        async def are_all_said() -> bool:
            return await n_series_of(settings) == N_SERIES

        await wait_until_async(are_all_said, 30, "a row or a stretch of every series")

        async def is_observed() -> bool:
            return (value("observai_series_evicted_total") or 0) > 0

        await wait_until_async(is_observed, 10, "the number of evicted series")

    held = value("observai_memory_bytes", {"part": "windows"})
    assert held is not None
    assert held <= WorkerBudget.of(64 << 20, scores=False).window_bytes(1)


async def n_series_of(settings: Settings) -> int:
    """Return of how many series topic rollups has the window, each by a row or by a stretch."""
    series: list[int] = []
    for topic in (Topic.ROLLUPS, Topic.RECOMPUTE):
        for record in await read_topic(settings, topic):
            for one in decode_rollups(record.value):
                if isinstance(one, RollupBlock | RecomputeBlock):
                    series += one.series_ids.tolist()
    return len(set(series))

"""What the archive does beside samples: two lanes of windows, and rows that the store refuses."""

import asyncio

import numpy as np
import pytest

from schemas.rollups import CloseBlock, RecomputeBlock, encode_rollups
from schemas.samples import SKETCHES
from schemas.topics import ALL_SERIES, Topic
from tests.topology.store.archiving import Bench
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, read
from tests.topology.store.test_refused import POISON, failing
from tests.waiting import wait_until_async

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000


async def test_old_windows_come_by_their_own_lane_and_closes_make_coarser_ones(
    bench: Bench,
) -> None:
    """Two days back by topic recompute, today's five minutes by a close; both are committed."""
    old_ms = NOON_MS - 2 * DAY_MS
    rows = [(1, start + at * 60_000, 1.0) for start in (NOON_MS, old_ms) for at in range(5)]
    offset = await bench.publish_samples(rows)
    ids = np.array([1], np.uint64)
    head = (bench.tenant, NOON_MS, RETENTION_DAYS)
    old = np.array([old_ms])
    marks = [
        RecomputeBlock(*head, 60, SKETCHES, 0, offset, NOON_MS, ids, first, first + 4 * 60_000)
        for first in (old, np.array([NOON_MS]))
    ]
    close = CloseBlock(*head, 300, *ALL_SERIES, NOON_MS, NOON_MS + 300_000)
    await bench.publish(Topic.RECOMPUTE, encode_rollups([marks[0]]))
    await bench.publish(Topic.ROLLUPS, encode_rollups([marks[1], close]))

    def counts() -> list[tuple[int, int, int]]:
        sql = "SELECT width_s, count(), sum(count) FROM rollups GROUP BY width_s ORDER BY width_s"
        return [
            (width, n, n_samples) for width, n, n_samples in read(bench.engine, bench.tenant, sql)
        ]

    async def is_done() -> bool:
        return await asyncio.to_thread(counts) == [(60, 10, 10), (300, 2, 10), (3600, 1, 5)]

    async with bench.archiving():
        await wait_until_async(is_done, 20, "windows of all widths")

    assert read(bench.engine, bench.tenant, "SELECT DISTINCT p50 FROM rollups") == [(1.0,)]
    assert [await bench.committed(topic) for topic in (Topic.ROLLUPS, Topic.RECOMPUTE)] == [1, 1]


async def test_a_record_that_the_store_refuses_becomes_a_dead_letter(bench: Bench) -> None:
    """It is counted as refused, its offset is committed, and those around it are stored."""
    async with bench.archiving() as context:
        with failing(bench.engine):
            for at, value in enumerate((1.0, POISON, 2.0)):
                await bench.publish_samples([(at, NOON_MS, value)])
            await bench.wait_rows(2)
            labels = {"topic": "samples", "reason": "refused"}
            name = "observai_records_dead_lettered_total"
            await wait_until_async(
                lambda: asyncio.sleep(
                    0, context.metrics.registry.get_sample_value(name, labels) == 1
                ),
                5,
                "one dead letter",
            )

    assert await bench.committed(Topic.SAMPLES) == 3

"""What stored records of topic rollups say of time, and when work on windows is over."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition

from schemas.rollups import Block, CloseBlock, RecomputeBlock, RollupBlock, encode_rollups
from schemas.topics import Topic
from tests.topology.store.rows import NOON_MS
from topology.settings import load_settings
from topology.store.batch import Batch
from topology.store.evidence import ArchiveEvidence
from topology.store.progress import Progress

SETTINGS = load_settings()
SAMPLES, ROLLUPS, RECOMPUTE = (
    TopicPartition(SETTINGS.topic(topic), 1)
    for topic in (Topic.SAMPLES, Topic.ROLLUPS, Topic.RECOMPUTE)
)
MINUTE_MS = 60_000


def row(start_ms: int, width_s: int = 60, tenant: str = "t", receive_ms: int = NOON_MS) -> Block:
    place: list[Any] = [np.array([start_ms]), np.array([5], np.uint64)]
    no_sketch = (np.zeros(1, np.uint32), np.zeros(0, np.uint32))
    columns = [*place, np.ones(1, np.uint32), *[np.zeros(1)] * 6, *no_sketch]
    return RollupBlock(tenant, receive_ms, 30, width_s, *columns)


def mark(closed_ms: int, receive_ms: int = NOON_MS) -> Block:
    starts = np.array([NOON_MS])
    head = ("t", receive_ms, 30, 60, 0, 1, 7, closed_ms)
    return RecomputeBlock(*head, np.array([5], np.uint64), starts, starts)


def close(until_ms: int, receive_ms: int = NOON_MS) -> Block:
    return CloseBlock("t", receive_ms, 30, 300, 0, 2**64 - 1, NOON_MS - 600_000, until_ms)


class Bench:
    """A progress that batches are stored in, and the evidence of it."""

    def __init__(self) -> None:
        self.progress = Progress(SETTINGS.topic(Topic.SAMPLES))
        self.highwater: int | None = 0
        consumer = SimpleNamespace(
            highwater=lambda _: self.highwater, partitions_for_topic=lambda _: {0, 1, 2}
        )
        self.evidence = ArchiveEvidence(SETTINGS, consumer, self.progress)
        for place in (SAMPLES, ROLLUPS, RECOMPUTE):
            self.progress.begin(place, 0)

    def store(self, place: TopicPartition, *blocks: Block, offset: int = 0) -> None:
        batch = Batch(0.0)
        topic = Topic.ROLLUPS if place == ROLLUPS else Topic.RECOMPUTE
        batch.add(topic, place, offset, encode_rollups(blocks))
        self.progress.stored(batch)

    def finish_tasks(self) -> None:
        """Do all tasks; samples are stored as far as it takes."""
        batch = Batch(0.0)
        batch.next_offsets[SAMPLES] = 100
        self.progress.stored(batch)
        for lane in (Topic.ROLLUPS, Topic.RECOMPUTE):
            while tasks := self.progress.ready(lane):
                self.progress.done(tasks)


@pytest.mark.parametrize(
    ("block", "closed_s"),
    [
        (row(NOON_MS), NOON_MS // 1000 + 60),
        (row(NOON_MS, width_s=10), 0),
        (row(NOON_MS, tenant="other"), 0),
        (mark(NOON_MS + 120_000), NOON_MS // 1000 + 120),
        (close(NOON_MS), NOON_MS // 1000),
    ],
)
def test_a_record_tells_up_to_when_windows_are_closed(block: Block, closed_s: int) -> None:
    """Of its tenant and partition; the windows of 10 s close on their own."""
    bench = Bench()

    bench.store(ROLLUPS, block)

    assert bench.evidence.closed_s("t", 1) == closed_s
    assert bench.evidence.closed_s("t", 0) == 0


def test_closed_stays_closed() -> None:
    """A row of an older window comes after a newer one."""
    bench = Bench()

    bench.store(ROLLUPS, row(NOON_MS + MINUTE_MS))
    bench.store(ROLLUPS, row(NOON_MS), offset=1)

    assert bench.evidence.closed_s("t", 1) == NOON_MS // 1000 + 120


def test_settled_is_what_a_later_record_has_answered() -> None:
    """A record of that receive time or of a later one, of the same partition."""
    bench = Bench()

    bench.store(ROLLUPS, row(NOON_MS))

    assert bench.evidence.is_settled(1, NOON_MS)
    assert not bench.evidence.is_settled(1, NOON_MS + 1)
    assert not bench.evidence.is_settled(0, NOON_MS)


@pytest.mark.parametrize("place", [ROLLUPS, RECOMPUTE])
def test_nothing_is_settled_while_windows_wait(place: TopicPartition) -> None:
    """In either lane; a mark waits for its samples."""
    bench = Bench()
    bench.store(ROLLUPS, row(NOON_MS, receive_ms=NOON_MS + 1))
    bench.store(place, mark(NOON_MS), offset=1)
    waiting = bench.evidence.is_settled(1, NOON_MS)

    bench.finish_tasks()

    assert not waiting
    assert bench.evidence.is_settled(1, NOON_MS)


@pytest.mark.parametrize(("end", "is_settled"), [(None, False), (1, False), (0, True)])
def test_nothing_is_settled_before_the_backfill_lane_is_read(
    end: int | None, *, is_settled: bool
) -> None:
    """Where its end is not known, or lies ahead."""
    bench = Bench()
    bench.store(ROLLUPS, row(NOON_MS))
    bench.highwater = end

    assert bench.evidence.is_settled(1, NOON_MS) is is_settled


def test_a_rebalance_leaves_nothing_known() -> None:
    """Whoever owns the partition next learns it anew."""
    bench = Bench()
    bench.store(ROLLUPS, row(NOON_MS))
    assert bench.evidence.owned() == [1]

    bench.progress.clear()

    assert bench.evidence.closed_s("t", 1) == 0
    assert not bench.evidence.is_settled(1, NOON_MS)
    assert bench.evidence.owned() == []
    assert bench.evidence.n_partitions() == 3

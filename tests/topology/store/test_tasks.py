"""Which work on windows is next, and how far a partition may be committed."""

import numpy as np
from aiokafka import TopicPartition

from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.topics import ALL_SERIES, Topic
from tests.topology.store.rows import NOON_MS
from topology.store.tasks import MAX_WINDOWS_TOGETHER, Task, Tasks

MINUTE = 60_000


def mark(
    partition: int, offset: int, samples_offset: int = 0, n: int = 1, receive_ms: int = NOON_MS
) -> Task:
    ids, first_ms = np.array([1], np.uint64), np.array([NOON_MS])
    block = RecomputeBlock(
        *("t", receive_ms, 30, 60, 0, partition, samples_offset, 0),
        *(ids, first_ms, first_ms + (n - 1) * MINUTE),
    )
    return Task(Topic.ROLLUPS, TopicPartition("rollups", partition), offset, block)


def close(partition: int, offset: int, receive_ms: int = NOON_MS) -> Task:
    block = CloseBlock("t", receive_ms, 30, 300, *ALL_SERIES, NOON_MS, NOON_MS + 300_000)
    return Task(Topic.ROLLUPS, TopicPartition("rollups", partition), offset, block)


def tasks_of(*tasks: Task) -> Tasks:
    held = Tasks()
    for task in tasks:
        held.add(task)
    return held


def offsets(tasks: list[Task]) -> list[tuple[int, int]]:
    return [(task.place.partition, task.offset) for task in tasks]


def test_marks_wait_for_their_samples_and_hold_the_commit() -> None:
    """A mark is ready when its samples record is stored; those after an unready one wait."""
    tasks = tasks_of(mark(3, 10, samples_offset=50), mark(3, 12))
    place = TopicPartition("rollups", 3)

    early = tasks.ready(Topic.ROLLUPS, {3: 50})
    ready = tasks.ready(Topic.ROLLUPS, {3: 51})
    tasks.done(ready[:1])

    assert early == []
    assert offsets(ready) == [(3, 10), (3, 12)]
    assert tasks.first_offset(place, default=99) == 12
    assert tasks.first_offset(TopicPartition("recompute", 3), default=99) == 99


def test_a_close_waits_for_the_marks_before_it_in_its_partition() -> None:
    """Those of other partitions do not hold it up, nor does it hold up theirs."""
    tasks = tasks_of(mark(0, 1, samples_offset=9), close(0, 2), close(1, 5), mark(1, 6), mark(2, 7))

    waiting = tasks.ready(Topic.ROLLUPS, {0: 9, 1: 9, 2: 9})
    tasks.done(waiting)
    then = tasks.ready(Topic.ROLLUPS, {0: 10, 1: 9, 2: 9})
    tasks.done(then)
    last = tasks.ready(Topic.ROLLUPS, {})

    assert offsets(waiting) == [(1, 5)]
    assert offsets(then) == [(0, 1), (1, 6), (2, 7)]
    assert offsets(last) == [(0, 2)]


def test_the_longest_wait_decides_whether_marks_or_closes_are_next() -> None:
    tasks = tasks_of(mark(0, 1, receive_ms=NOON_MS), close(1, 1, NOON_MS - 1), close(1, 2, NOON_MS))

    first = tasks.ready(Topic.ROLLUPS, {0: 9})
    tasks.done(first)

    assert offsets(first) == [(1, 1), (1, 2)]
    assert offsets(tasks.ready(Topic.ROLLUPS, {0: 9})) == [(0, 1)]


def test_so_many_windows_are_taken_together_and_the_rest_is_counted() -> None:
    n = MAX_WINDOWS_TOGETHER // 2
    tasks = tasks_of(mark(0, 1, n=n), mark(0, 2, n=n), mark(0, 3), mark(1, 1))

    ready = tasks.ready(Topic.ROLLUPS, {0: 1, 1: 1})
    tasks.done(ready)

    assert offsets(ready) == [(0, 1), (0, 2)]
    assert tasks.n_windows(TopicPartition("rollups", 0)) == 1


def test_lanes_do_not_wait_for_each_other() -> None:
    old = Task(Topic.RECOMPUTE, TopicPartition("recompute", 0), 1, mark(0, 1).block)
    tasks = tasks_of(mark(0, 1, samples_offset=99), old)

    assert tasks.ready(Topic.ROLLUPS, {0: 1}) == []
    assert tasks.ready(Topic.RECOMPUTE, {0: 1}) == [old]

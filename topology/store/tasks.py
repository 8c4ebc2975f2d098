"""Work on stored windows that records ask for, kept in the order of each partition until done."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from aiokafka import TopicPartition

from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.topics import Topic

# Windows whose marks are taken together, so that few statements serve many small marks.
MAX_WINDOWS_TOGETHER = 50_000


@dataclass(frozen=True, slots=True)
class Task:
    """Windows to compute again or to make of finer ones, and the record that asks for it.

    lane: ROLLUPS, where live windows are, or RECOMPUTE, for what is older.
    """

    lane: Topic
    place: TopicPartition
    offset: int
    block: RecomputeBlock | CloseBlock

    def n_windows(self) -> int:
        """Return how many windows are to be computed again."""
        return self.block.n_windows() if isinstance(self.block, RecomputeBlock) else 0


@dataclass(slots=True)
class Tasks:
    """Tasks not done yet, of each partition in the order of their offsets."""

    _by_place: dict[TopicPartition, deque[Task]] = field(default_factory=dict)
    _n_windows: Counter[TopicPartition] = field(default_factory=Counter)

    def add(self, task: Task) -> None:
        """Remember a task; offsets of one partition come in ascending order."""
        self._by_place.setdefault(task.place, deque()).append(task)
        self._n_windows[task.place] += task.n_windows()

    def ready(self, lane: Topic, stored_next: dict[int, int]) -> list[Task]:
        """Return tasks of a lane to be done next: marks together, or closes of one partition.

        stored_next: per samples partition the first offset that is not stored. A partition's
        tasks become ready in their order, so its offset can follow. The partition whose first
        task has waited for longest decides which kind it is.
        """
        waiting = list(self._waiting(lane, stored_next))
        if not waiting:
            return []
        first = min(waiting, key=lambda tasks: tasks[0].block.receive_ms)
        if isinstance(first[0].block, CloseBlock):
            return list(takewhile(_is_close, first))
        return list(_marks(waiting, stored_next))

    def has_ready(self, lane: Topic, stored_next: dict[int, int]) -> bool:
        """Whether `ready` would give any."""
        return any(True for _ in self._waiting(lane, stored_next))

    def done(self, tasks: Sequence[Task]) -> None:
        """Forget tasks that `ready` gave."""
        for task in tasks:
            first = self._by_place[task.place].popleft()
            if first is not task:
                raise RuntimeError(f"task of offset {task.offset} done before {first.offset}")
            self._n_windows[task.place] -= task.n_windows()

    def first_offset(self, place: TopicPartition, default: int) -> int:
        """Return the offset that the partition's commit must not pass."""
        tasks = self._by_place.get(place)
        return tasks[0].offset if tasks else default

    def oldest_receive_ms(self, place: TopicPartition) -> int | None:
        """Return the receive time of the partition's first task, None without tasks."""
        tasks = self._by_place.get(place)
        return tasks[0].block.receive_ms if tasks else None

    def n_windows(self, place: TopicPartition) -> int:
        """Return how many windows of the partition wait to be computed again."""
        return self._n_windows[place]

    def clear(self) -> None:
        """Forget all: the partitions begin again at their committed offsets."""
        self._by_place.clear()
        self._n_windows.clear()

    def _waiting(self, lane: Topic, stored_next: dict[int, int]) -> Iterator[deque[Task]]:
        """Yield the tasks of each partition of the lane whose first one can be done."""
        for tasks in self._by_place.values():
            if tasks and tasks[0].lane == lane and _is_ready(tasks[0], stored_next):
                yield tasks


def _is_close(task: Task) -> bool:
    return isinstance(task.block, CloseBlock)


def _is_ready(task: Task, stored_next: dict[int, int]) -> bool:
    block = task.block
    if isinstance(block, CloseBlock):
        return True
    return stored_next.get(block.samples_partition, -1) > block.samples_offset


def _marks(waiting: list[deque[Task]], stored_next: dict[int, int]) -> Iterator[Task]:
    n_windows = 0
    for tasks in waiting:
        for task in tasks:
            if _is_close(task) or not _is_ready(task, stored_next):
                break
            if n_windows >= MAX_WINDOWS_TOGETHER:
                return
            yield task
            n_windows += task.n_windows()

"""Up to where each partition is stored, what is still to be done, and what may be committed."""

from aiokafka import TopicPartition

from schemas.topics import Topic
from topology.store.batch import Batch
from topology.store.closings import Closings
from topology.store.tasks import Task, Tasks


class Progress:
    """Offsets of the partitions that this process owns; forgotten at every rebalance."""

    def __init__(self, samples_topic: str) -> None:
        self._samples_topic = samples_topic
        self.closings = Closings()
        self._tasks = Tasks()
        self._done_next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._stored_samples_next: dict[int, int] = {}

    def begin(self, place: TopicPartition, committed: int | None) -> None:
        """Start a partition at its committed offset: all before it is stored."""
        if committed is not None:
            self._committed[place] = committed
        if place.topic == self._samples_topic:
            self._stored_samples_next[place.partition] = committed or 0

    def stored(self, batch: Batch) -> None:
        """Take note that a batch is in the store."""
        self._done_next.update(batch.next_offsets)
        for place, offset in batch.next_offsets.items():
            if place.topic == self._samples_topic:
                self._stored_samples_next[place.partition] = offset
        for task in batch.tasks:
            self._tasks.add(task)
        self.closings.note(batch)

    def ready(self, lane: Topic) -> list[Task]:
        """Return what can be done next in a lane, see Tasks."""
        return self._tasks.ready(lane, self._stored_samples_next)

    def has_ready(self, lane: Topic) -> bool:
        """Whether anything can be done next in a lane."""
        return self._tasks.has_ready(lane, self._stored_samples_next)

    def done(self, tasks: list[Task]) -> None:
        """Take note that tasks are done."""
        self._tasks.done(tasks)

    def committable(self) -> dict[TopicPartition, int]:
        """Return offsets to commit: never past a task that is not done."""
        offsets = {}
        for place, done_next in self._done_next.items():
            offset = min(done_next, self._tasks.first_offset(place, default=done_next))
            if self._committed.get(place, -1) < offset:
                offsets[place] = offset
        return offsets

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """Take note of committed offsets."""
        self._committed.update(offsets)

    def samples_partitions(self) -> list[int]:
        """Return the partitions of topic samples."""
        return sorted(self._stored_samples_next)

    def done_next(self, place: TopicPartition) -> int:
        """Return the first offset of a partition that is not stored."""
        return self._done_next.get(place, self._committed.get(place, 0))

    def n_pending_windows(self, place: TopicPartition) -> int:
        """Return how many windows of the partition wait to be computed again."""
        return self._tasks.n_windows(place)

    def oldest_task_receive_ms(self, place: TopicPartition) -> int | None:
        """Return the receive time of the partition's oldest task, None without."""
        return self._tasks.oldest_receive_ms(place)

    def clear(self) -> None:
        """Forget all: whoever owns the partitions next begins at their committed offsets."""
        self.closings.clear()
        self._tasks.clear()
        self._done_next.clear()
        self._committed.clear()
        self._stored_samples_next.clear()

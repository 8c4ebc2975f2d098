"""Up to where each partition is stored, and which offsets may be committed."""

from aiokafka import TopicPartition

from topology.store.batch import Batch
from topology.store.recompute import Mark, Marks


class Progress:
    """Offsets of the partitions that this process owns; forgotten at every rebalance."""

    def __init__(self, samples_topic: str, rollups_topic: str) -> None:
        self._samples_topic = samples_topic
        self._rollups_topic = rollups_topic
        self._marks = Marks()
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
        for partition, mark in batch.marks:
            self._marks.add(partition, mark)

    def ready_marks(self) -> list[tuple[int, Mark]]:
        """Return marked windows whose samples are stored."""
        return self._marks.ready(self._stored_samples_next)

    def recomputed(self, marks: list[tuple[int, Mark]]) -> None:
        """Take note that marks are done."""
        self._marks.done(marks)

    def committable(self) -> dict[TopicPartition, int]:
        """Return offsets to commit: never past a mark that is not done."""
        offsets = {}
        for place, done_next in self._done_next.items():
            offset = done_next
            if place.topic == self._rollups_topic:
                offset = min(offset, self._marks.first_offset(place.partition, default=offset))
            if self._committed.get(place, -1) < offset:
                offsets[place] = offset
        return offsets

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """Take note of committed offsets."""
        self._committed.update(offsets)

    def n_pending_windows(self, partition: int) -> int:
        """Return how many windows of the partition wait for samples."""
        return self._marks.n_windows(partition)

    def oldest_mark_receive_ms(self, place: TopicPartition) -> int | None:
        """Return the receive time of the oldest mark of a rollups partition, None without."""
        if place.topic != self._rollups_topic:
            return None
        return self._marks.oldest_receive_ms(place.partition)

    def clear(self) -> None:
        """Forget all: whoever owns the partitions next begins at their committed offsets."""
        self._marks.clear()
        self._done_next.clear()
        self._committed.clear()
        self._stored_samples_next.clear()

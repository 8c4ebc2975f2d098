"""What the archive knows of windows: up to when they are closed, and whether work on them waits."""

from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import Topic
from topology.settings import Settings
from topology.store.progress import Progress


class Evidence(Protocol):
    """What a check of windows has to know, of partitions of topic samples by their numbers."""

    def owned(self) -> list[int]:
        """Return the partitions that this process archives."""

    def n_partitions(self) -> int:
        """Return how many there are, 0 where that is not known."""

    def closed_s(self, tenant: str, partition: int) -> int:
        """Return up to when all windows of the tenant are closed for sure; 0 for never."""

    def is_settled(self, partition: int, since_ms: int) -> bool:
        """Whether all that was received before since_ms has had its effect on stored windows."""


class ArchiveEvidence:
    """Evidence of an archive's partitions."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, progress: Progress) -> None:
        self._names = {topic: settings.topic(topic) for topic in Topic}
        self._consumer = consumer
        self._progress = progress

    def owned(self) -> list[int]:
        """Return the partitions that this process archives."""
        return self._progress.samples_partitions()

    def n_partitions(self) -> int:
        """Return how many there are, 0 where that is not known."""
        return len(self._consumer.partitions_for_topic(self._names[Topic.SAMPLES]) or ())

    def closed_s(self, tenant: str, partition: int) -> int:
        """Return up to when all windows of the tenant are closed for sure; 0 for never."""
        return self._progress.closings.closed_ms(tenant, partition) // 1000

    def is_settled(self, partition: int, since_ms: int) -> bool:
        """Whether all that was received before since_ms has had its effect on stored windows.

        The window stage says so itself: what it has written about later samples is stored.
        """
        progress = self._progress
        if progress.closings.answered_ms(partition) < since_ms:
            return False
        live, old = (
            TopicPartition(self._names[topic], partition)
            for topic in (Topic.ROLLUPS, Topic.RECOMPUTE)
        )
        if any(progress.oldest_task_receive_ms(place) is not None for place in (live, old)):
            return False
        end = self._consumer.highwater(old)
        return end is not None and progress.done_next(old) >= end

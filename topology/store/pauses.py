"""Partitions that are not read on: for a while, or until the build is upgraded."""

from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from topology.runtime import Context
from topology.store.progress import Progress

# Windows that a partition may wait for; with more, it is not read on. Kafka is the queue beyond.
MAX_PENDING_WINDOWS = 500_000


class Pauses:
    """Pauses partitions of the consumer; forgotten at every rebalance, as the consumer does.

    lanes: full names of the topics whose windows may pile up.
    """

    def __init__(
        self,
        context: Context,
        consumer: AIOKafkaConsumer,
        progress: Progress,
        lanes: Collection[str],
    ) -> None:
        self._context = context
        self._consumer = consumer
        self._progress = progress
        self._lanes = lanes
        self._held: set[TopicPartition] = set()
        self._stopped: dict[TopicPartition, int] = {}

    def stop(self, place: TopicPartition, offset: int, reason: str) -> None:
        """Let a partition stand before a record that must not be passed over, and say so."""
        text = f"stands still at offset {offset}: {reason}"
        self._consumer.seek(place, offset)
        self._consumer.pause(place)
        self._stopped[place] = offset
        self._context.health.stand_still(_name(place), text)
        self._context.metrics.partition_stopped.labels(place.topic, place.partition).set(1)
        self._context.log.error("partition stopped", partition=_name(place), reason=text)

    def go_on(self, may_pass: Callable[[TopicPartition, int], bool]) -> list[TopicPartition]:
        """Read on where the record that a partition stands at may be passed over by now."""
        gone_on = [place for place, at in self._stopped.items() if may_pass(place, at)]
        for place in gone_on:
            del self._stopped[place]
            self._consumer.resume(place)
            self._say_not_stopped(place)
        return gone_on

    def hold_back(self) -> None:
        """Pause partitions that wait for too many windows, resume them afterwards."""
        for place in self._consumer.assignment():
            if place.topic not in self._lanes or place in self._stopped:
                continue
            n_windows = self._progress.n_pending_windows(place)
            if n_windows > MAX_PENDING_WINDOWS and place not in self._held:
                self._held.add(place)
                self._consumer.pause(place)
            elif n_windows < MAX_PENDING_WINDOWS // 2 and place in self._held:
                self._held.discard(place)
                self._consumer.resume(place)

    def clear(self) -> None:
        """Forget all: the partitions begin again at their committed offsets."""
        self._held.clear()
        for place in self._stopped:
            self._say_not_stopped(place)
        self._stopped.clear()

    def _say_not_stopped(self, place: TopicPartition) -> None:
        self._context.health.set(_name(place), None)
        self._context.metrics.partition_stopped.labels(place.topic, place.partition).set(0)


def _name(place: TopicPartition) -> str:
    return f"{place.topic}-{place.partition}"

"""What one kind of stage does with its records; all else is the same in every stage."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from schemas.chunks import Format
from schemas.topics import Topic
from topology.worker.checkpoints import Content
from topology.worker.outbox import Outbox
from topology.worker.positions import Reading, Start


class Engine(Protocol):
    """What a stage keeps of one partition."""

    def n_bytes(self) -> int:
        """Return its memory."""


EngineT = TypeVar("EngineT", bound=Engine)


class Work(Protocol[EngineT, Content]):
    """The part of a stage that knows what stands in its records.

    name: of stage and consumer group. lanes: topics that it writes. reading: what it reads.
    beside: checkpoints that a command may have put there, see CheckpointStore.
    memory_part: what its engines' memory is called in the metrics. ways: what to do where a
    checkpoint cannot be read.
    """

    name: str
    topic: Topic
    lanes: tuple[Topic, ...]
    form: Format[Content]
    beside: Format[Content] | None
    reading: Reading
    memory_part: str
    ways: str

    def begin(
        self, partition: int, checkpoint: Content | None, start: Start, n_partitions: int
    ) -> EngineT:
        """Return a partition's engine, one of so many, as the checkpoint has it."""

    async def assigned(self, engines: Mapping[int, EngineT], starts: Mapping[int, Start]) -> None:
        """Prepare for the first record of the partitions that are now assigned, and no others."""

    def read(self, payload: bytes, log_ms: int) -> list[Any]:
        """Return a record's blocks. Raises InvalidRecord or UnknownVersion.

        log_ms: when the broker took the record.
        """

    async def prepare(self, partition: int, engine: EngineT, blocks: list[Any]) -> None:
        """Wait for what the engine needs before it can be fed."""

    def feed(self, engine: EngineT, blocks: list[Any], outbox: Outbox, offset: int) -> None:
        """Feed a record of this offset, and hand over what it gives."""

    def snapshot(self, partition: int, engine: EngineT, next_offset: int) -> Content:
        """Return a checkpoint of the engine as it is after all records before next_offset."""

    def observe(self, partition: int, engine: EngineT, last_receive_ms: int) -> None:
        """Set the metrics that only this kind of stage has."""

"""What the engine of one partition has given and the broker does not have yet."""

import asyncio
from collections import deque
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from topology.worker.emission import Record


class Outbox:
    """Rows become records one at a time, and no more are under way than max_bytes.

    So of a close of a million series there are the rows, and a few records; while the broker
    does not take them, `send` waits, and whoever feeds the engine waits for it.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topics: dict[Topic, str],
        partition: int,
        max_bytes: int,
    ) -> None:
        self._producer = producer
        self._topics = topics
        self.partition = partition
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[int, Iterator[Record]]] = deque()
        # Taken from its iterator and not handed over: of a call that was cancelled meanwhile.
        self._next: Record | None = None
        self._sent: list[asyncio.Future[object]] = []
        self._sent_bytes = 0
        self._sending = asyncio.Lock()

    def add(self, n_bytes: int, records: Iterator[Record]) -> None:
        """Take records to be made one by one, of rows that hold so much memory until then."""
        self._waiting.append((n_bytes, records))

    def n_bytes(self) -> int:
        """Return the memory of rows not encoded yet and of records that are under way."""
        return self._sent_bytes + sum(size for size, _ in self._waiting)

    async def send(self) -> None:
        """Hand all that was added to the producer. Raises KafkaError of any record before."""
        async with self._sending:
            while self._waiting:
                _, records = self._waiting[0]
                while (record := self._next or next(records, None)) is not None:
                    self._next = record
                    await self._hand_over(*record)
                    self._next = None
                self._waiting.popleft()

    async def settle(self) -> None:
        """Return when the broker has all that was handed over. Raises KafkaError."""
        async with self._sending:
            await self._settle()

    async def _hand_over(self, topic: Topic, record: bytes) -> None:
        if self._sent_bytes + len(record) > self._max_bytes:
            await self._settle()
        name = self._topics[topic]
        self._sent.append(await self._producer.send(name, record, partition=self.partition))
        self._sent_bytes += len(record)

    async def _settle(self) -> None:
        # Not gather(): where this call is cancelled, the records are still under way.
        if self._sent:
            await asyncio.wait(self._sent)
        for one in self._sent:
            one.result()
        self._sent.clear()
        self._sent_bytes = 0

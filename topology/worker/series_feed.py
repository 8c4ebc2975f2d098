"""Follows topic `series`, so that the score stage knows the series of its partitions."""

import asyncio
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from pipeline.label_columns import check_series
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.series import SeriesBlock, decode_series
from schemas.topics import Topic
from topology.runtime import Context

_RETRY_S = 1.0
_POLL_MS = 500
_RECORDS_AT_ONCE = 64

# What is given a partition's announcements, in their order.
Announce = Callable[[SeriesBlock], None]


class SeriesFeed:
    """Gives announcements to the engines of partitions, once caught up in the background."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._topic = settings.topic(Topic.SERIES)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._announce: dict[TopicPartition, Announce] = {}
        self._next: dict[TopicPartition, int] = {}
        self._news = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Stop following."""
        await self._stop_following()
        await self._consumer.stop()

    async def follow(
        self, announce: Mapping[int, Announce], offsets: Mapping[int, int | None]
    ) -> None:
        """Follow these partitions and no others; returns when all that is there has been given.

        offsets: where to begin, None for the beginning.
        """
        await self._stop_following()
        places = {number: TopicPartition(self._topic, number) for number in announce}
        self._announce = {places[number]: take for number, take in announce.items()}
        self._next.clear()
        if not places:
            self._consumer.unsubscribe()
            return
        firsts = await self._consumer.beginning_offsets(list(places.values()))
        ends = await self._consumer.end_offsets(list(places.values()))
        self._consumer.assign(list(places.values()))
        for number, place in places.items():
            # What is gone was announced again, or is silent; another log begins anew.
            wanted = offsets[number] or 0
            offset = max(firsts[place], wanted if wanted <= ends[place] else 0)
            self._consumer.seek(place, offset)
            self._next[place] = offset
        while any(self._next[place] < ends[place] for place in places.values()):
            await self._read()
        self._follower = asyncio.create_task(self._follow())
        self._follower.add_done_callback(self._end)

    def next_offset(self, partition: int) -> int:
        """Return up to where the partition's announcements have been given."""
        return self._next.get(TopicPartition(self._topic, partition), 0)

    def is_caught_up(self, partition: int) -> bool:
        """Whether all that Kafka had of the partition at the last fetch has been given."""
        place = TopicPartition(self._topic, partition)
        if place not in self._next:
            return True
        return self._next[place] >= (self._consumer.highwater(place) or 0)

    async def news(self, within_s: float) -> None:
        """Return when announcements have been given, or after the time."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), within_s)
        except TimeoutError:
            return

    async def _stop_following(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None

    def _end(self, follower: asyncio.Task[None]) -> None:
        if not follower.cancelled() and (bug := follower.exception()) is not None:
            self._context.fail(f"series feed: {bug!r}")

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except KafkaError as error:
                # aiokafka reconnects by itself.
                self._context.log.warning("series feed", error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_AT_ONCE)
        for place, records in batches.items():
            if place not in self._next:
                continue  # of the assignment before
            for record in records:
                self._give(self._announce[place], record)
                self._next[place] = record.offset + 1
        if batches:
            self._news.set()

    def _give(self, announce: Announce, record: ConsumerRecord) -> None:
        try:
            for block in decode_series(record.value or b""):
                check_series(block)
                announce(block)
        except (InvalidRecord, UnknownVersion) as error:
            # The archive reads the topic, too, and does what has to be done.
            self._context.log.warning(
                "announcement passed over",
                partition=record.partition,
                offset=record.offset,
                error=str(error),
            )

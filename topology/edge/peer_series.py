"""Reads topic `series` back, so that each edge counts the active series of all, and of its past."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from pipeline.active_series import WINDOW_MIN, ActiveSeries
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.series import decode_series_ids
from schemas.topics import Topic
from topology.clock import now_ms
from topology.runtime import Context
from topology.topics import METADATA_AGE_MS

# So long after its start an edge without all of the last hour's announcements refuses no series.
READ_BACK_S = 60.0
_MINUTE_MS = 60_000
_RETRY_S = 1.0
_SHOW_EVERY_S = 5.0
# What all edges announce comes in few and large answers, however often they announce.
_FETCH_WAIT_MS, _FETCH_LEAST_BYTES, _FETCH_MOST_BYTES = 500, 64 << 10, 8 << 20
_RECORDS_AT_ONCE = 16


class PeerSeries:
    """Notes what any edge announces, from an hour back on; `is_complete` once that is read."""

    def __init__(self, context: Context, producer: AIOKafkaProducer, active: ActiveSeries) -> None:
        self._context = context
        self._producer = producer
        self._active = active
        self._topic = context.settings.topic(Topic.SERIES)
        self._complete = asyncio.Event()
        self._shown_s = 0.0
        self._is_started = False
        # Of each partition, where it ended at the start: what stands before is history.
        self._ends: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=context.settings.kafka_bootstrap,
            enable_auto_commit=False,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_min_bytes=_FETCH_LEAST_BYTES,
            fetch_max_bytes=_FETCH_MOST_BYTES,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_AGE_MS,
        )

    def is_complete(self) -> bool:
        """Whether what was active at the start is known, or was waited for in vain; any thread."""
        return self._complete.is_set()

    async def wait(self, seconds: float) -> None:
        """Wait until complete, at most so long."""
        try:
            await asyncio.wait_for(self._complete.wait(), seconds)
        except TimeoutError:
            self._context.log.info("series are still read back", topic=self._topic)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        bound = asyncio.get_running_loop().call_later(READ_BACK_S, self._give_up)
        try:
            while True:
                try:
                    await self._follow()
                except KafkaError as error:
                    # aiokafka reconnects by itself.
                    self._context.log.warning("series of other edges", error=repr(error))
                    await asyncio.sleep(_RETRY_S)
        finally:
            bound.cancel()
            await self._consumer.stop()

    def _give_up(self) -> None:
        if not self.is_complete():
            self._context.log.warning(
                "series of the last hour not read back: limits on series hold without them",
                topic=self._topic,
                within_s=READ_BACK_S,
            )
            self._complete.set()

    async def _follow(self) -> None:
        if not self._is_started:
            await self._consumer.start()
            self._is_started = True
        while True:
            await self._assign()
            if not self.is_complete() and not await self._is_behind():
                self._complete.set()
            batches = await self._consumer.getmany(
                timeout_ms=_FETCH_WAIT_MS, max_records=_RECORDS_AT_ONCE
            )
            for place, records in batches.items():
                for record in records:
                    self._take(place, record)
            self._show()
            # A long way back is much at once, and requests go on meanwhile.
            await asyncio.sleep(0)

    async def _is_behind(self) -> bool:
        for place, end in self._ends.items():
            if await self._consumer.position(place) < end:
                return True
        return False

    async def _assign(self) -> None:
        """Take up partitions that are new, each from an hour back on.

        Asked of the producer: a consumer knows the partitions of its own topics only, and the
        publisher keeps the producer's knowledge fresh.
        """
        numbers = await self._producer.partitions_for(self._topic)
        new = [TopicPartition(self._topic, one) for one in sorted(numbers)]
        new = [place for place in new if place not in self._ends]
        if not new:
            return
        old = self._consumer.assignment()
        offsets = {place: await self._consumer.position(place) for place in old}
        since_ms = now_ms() - WINDOW_MIN * _MINUTE_MS
        found = await self._consumer.offsets_for_times(dict.fromkeys(new, since_ms))
        ends = await self._consumer.end_offsets(new)
        for place in new:
            at = found.get(place)
            offsets[place] = at.offset if at else ends[place]
        self._consumer.assign(list(offsets))
        for place, offset in offsets.items():
            self._consumer.seek(place, offset)
        # A growth has no history: its series have begun, or are held already.
        self._ends |= dict.fromkeys(new, 0) if self.is_complete() else ends

    def _take(self, place: TopicPartition, record: ConsumerRecord) -> None:
        is_new = record.offset >= self._ends[place]
        try:
            for told in decode_series_ids(record.value or b""):
                # Not beyond this clock: a fast one elsewhere would make all that is active old.
                minute = min(told.receive_ms, now_ms()) // _MINUTE_MS
                self._active.note(told.tenant, told.series_ids, minute, is_new=is_new)
        except (InvalidRecord, UnknownVersion) as error:
            # The archive reads the announcements, too, and does what has to be done.
            self._context.log.warning("passed over", topic=self._topic, error=str(error))

    def _show(self) -> None:
        """Set the metric of active series, every few seconds."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._shown_s < _SHOW_EVERY_S:
            return
        self._shown_s = now_s
        for tenant, count in self._active.counts(now_ms() // _MINUTE_MS).items():
            self._context.metrics.active_series.labels(tenant).set(count)

"""Where a stage begins a partition: at its checkpoint, or where that is impossible.

The offset in the checkpoint decides, not the one that the group has committed: the two differ
when a checkpoint was lost or is broken, and then records between them would be skipped unseen.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import Topic
from topology.settings import Settings

# Beyond the furthest that a sample may be ahead of its receive time: idle time and a window.
_REWIND_MARGIN_S = 300
_READ_MS = 5_000
# A broker that has just become leader may know an end that is still behind what was read.
_SETTLE_S, _SETTLE_EVERY_S = 10.0, 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stage reads.

    rewind_ms: how far before its committed offset it goes back where its state is gone.
    may_begin_late: whether one that has read nothing yet misses nothing that Kafka has dropped.
    """

    topic: Topic
    rewind_ms: int = 0
    may_begin_late: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What Kafka has of a partition: its first offset, the one after its last, the group's own."""

    first: int
    end: int
    committed: int | None


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin a partition.

    n_lost: records that nobody can read any more. is_blind: samples before the offset are
    missing from the state, so windows around it must be computed from the stored samples.
    keeps_state: whether the checkpoint's state belongs to what is read next.
    """

    offset: int
    n_lost: int = 0
    is_blind: bool = False
    keeps_state: bool = True


def start_of(found: Found, checkpoint: int | None, rewound: int) -> Start:
    """Decide where to begin.

    checkpoint: first offset that it does not cover, None without one. rewound: offset so long
    before the committed one that all samples of windows open there come after it.
    """
    if checkpoint is None:
        if found.committed is None:
            return Start(found.first, found.first, is_blind=found.first > 0)
        offset = max(found.first, min(rewound, found.committed))
        return Start(offset, max(0, found.first - found.committed), is_blind=offset > 0)
    if checkpoint < found.first:
        return Start(found.first, found.first - checkpoint, is_blind=True)
    if checkpoint > found.end:
        # Another log, or one that lost its end: the state is of records that are not in it.
        return Start(found.first, checkpoint - found.end, is_blind=True, keeps_state=False)
    return Start(checkpoint)


async def find_starts(
    settings: Settings, group: str, reading: Reading, checkpoints: Mapping[int, int | None]
) -> dict[int, Start]:
    """Return where to begin each partition of the topic, given its checkpoint's offset."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=group, enable_auto_commit=False
    )
    places = {
        number: TopicPartition(settings.topic(reading.topic), number) for number in checkpoints
    }
    await consumer.start()
    try:
        consumer.assign(list(places.values()))
        firsts = await consumer.beginning_offsets(list(places.values()))
        ends = await _settled_ends(consumer, places, checkpoints)
        starts = {}
        for number, place in places.items():
            found = Found(firsts[place], ends[place], await consumer.committed(place))
            rewound = found.first
            if checkpoints[number] is None and found.committed is not None:
                rewound = await _rewind(consumer, place, found, reading.rewind_ms)
            starts[number] = start_of(found, checkpoints[number], rewound)
            if reading.may_begin_late and found.committed is checkpoints[number] is None:
                starts[number] = Start(found.first)
        return starts
    finally:
        await consumer.stop()


async def _settled_ends(
    consumer: AIOKafkaConsumer,
    places: Mapping[int, TopicPartition],
    checkpoints: Mapping[int, int | None],
) -> dict[TopicPartition, int]:
    """Return the end of each partition; one before its checkpoint is asked for again a while."""
    until_s = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(places.values()))
        behind = any(ends[place] < (checkpoints[at] or 0) for at, place in places.items())
        if not behind or asyncio.get_running_loop().time() > until_s:
            return ends
        await asyncio.sleep(_SETTLE_EVERY_S)


def rewind_of_windows_ms(settings: Settings) -> int:
    """Return before how much time a sample may have come whose window is still open."""
    return (settings.max_future_s + settings.lateness_s + _REWIND_MARGIN_S) * 1000


async def _rewind(
    consumer: AIOKafkaConsumer, place: TopicPartition, found: Found, rewind_ms: int
) -> int:
    """Return the first offset that was appended less than rewind_ms before the committed one."""
    committed = min(found.committed or 0, found.end)
    if committed <= found.first:
        return found.first
    consumer.seek(place, committed - 1)
    records = (await consumer.getmany(place, timeout_ms=_READ_MS, max_records=1)).get(place, [])
    if not records:
        return found.first
    since_ms = max(records[0].timestamp - rewind_ms, 0)
    at = (await consumer.offsets_for_times({place: since_ms}))[place]
    return found.first if at is None else int(at.offset)

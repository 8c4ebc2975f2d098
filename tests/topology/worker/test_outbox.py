"""Records on their way to the broker: a bounded number of bytes, and none lost."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from aiokafka.errors import KafkaConnectionError

from pipeline.rows import ROW, Rows
from pipeline.stretches import NO_STRETCHES
from pipeline.windows import Closed
from schemas.rollups import RollupBlock, decode_rollups
from schemas.topics import Topic
from tests.waiting import wait_until_async
from topology.worker.emission import records_of
from topology.worker.outbox import Outbox

T0 = 1_800_000_000_000
TOPICS = {Topic.ROLLUPS: "rollups", Topic.RECOMPUTE: "recompute"}


class Broker:
    """A producer of which a test says when records are acknowledged."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.futures: list[asyncio.Future[None]] = []
        self.most_under_way = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def send(self, topic: str, record: bytes, partition: int) -> asyncio.Future[None]:
        assert (topic, partition) == ("rollups", 3)
        await self.is_open.wait()
        self.records.append(record)
        self.futures.append(asyncio.get_running_loop().create_future())
        self.most_under_way = max(self.most_under_way, self.under_way())
        return self.futures[-1]

    def under_way(self) -> int:
        pairs = zip(self.records, self.futures, strict=True)
        return sum(len(record) for record, future in pairs if not future.done())

    def acknowledge(self) -> None:
        for future in self.futures:
            if not future.done():
                future.set_result(None)

    def series(self) -> list[int]:
        blocks = [block for record in self.records for block in decode_rollups(record)]
        rows = [block for block in blocks if isinstance(block, RollupBlock)]
        assert rows == blocks
        return [one for block in rows for one in block.series_ids.tolist()]


def closed(series: Sequence[int]) -> Closed:
    rows = np.zeros(len(series), dtype=ROW)
    rows["window_ms"], rows["series_id"] = T0, series
    rows["sum"] = rows["min"] = np.random.default_rng(1).random(len(series))
    no_sketches = (np.zeros(len(series), np.uint32), np.zeros(0, np.uint32))
    return Closed(
        *("t", 30, T0 + 100_000, 60_000, 0, T0 + 60_000), Rows(rows, *no_sketches), NO_STRETCHES
    )


def outbox_of(broker: Broker, max_bytes: int) -> Outbox:
    return Outbox(broker, TOPICS, 3, max_bytes)


def add(outbox: Outbox, series: Sequence[int]) -> None:
    rows = closed(series)
    outbox.add(rows.rows.rows.nbytes, records_of([rows], 3, offset=7))


async def acknowledge_until_done(broker: Broker, sending: asyncio.Task[None]) -> None:
    async def is_done() -> bool:
        broker.acknowledge()
        return sending.done()

    await wait_until_async(is_done, 10, "all is sent")


async def test_a_large_close_waits_for_the_broker_record_by_record() -> None:
    """200,000 rows are 16 MB; of their records at most 2 MB are under way at a time."""
    broker = Broker()
    outbox = outbox_of(broker, 2_000_000)
    add(outbox, range(200_000))
    rows_bytes = 200_000 * ROW.itemsize
    assert (broker.records, outbox.n_bytes()) == ([], rows_bytes)

    sending = asyncio.create_task(outbox.send())

    async def is_waiting() -> bool:
        return broker.under_way() > 1_000_000

    await wait_until_async(is_waiting, 5, "two megabytes are under way")
    assert not sending.done()
    assert outbox.n_bytes() == rows_bytes + broker.under_way()
    await acknowledge_until_done(broker, sending)
    broker.acknowledge()
    await outbox.settle()
    assert broker.most_under_way <= 2_000_000
    assert broker.series() == list(range(200_000))
    assert outbox.n_bytes() == 0


async def test_a_call_that_is_cancelled_loses_no_record() -> None:
    """As the regular checkpoint at a stop, which another one follows."""
    broker = Broker()
    outbox = outbox_of(broker, 1 << 30)
    add(outbox, range(20_000))
    broker.is_open.clear()
    cancelled = asyncio.create_task(outbox.send())
    await asyncio.wait({cancelled}, timeout=0.05)
    cancelled.cancel()
    await asyncio.wait({cancelled})

    broker.is_open.set()
    await outbox.send()
    settling = asyncio.create_task(outbox.settle())
    await asyncio.wait({settling}, timeout=0.05)
    settling.cancel()
    await asyncio.wait({settling})

    assert broker.series() == list(range(20_000))
    assert not any(future.cancelled() for future in broker.futures)
    assert outbox.n_bytes() == broker.under_way() > 0


async def test_a_record_that_the_broker_refuses_is_no_secret() -> None:
    broker = Broker()
    outbox = outbox_of(broker, 1 << 30)
    add(outbox, [1])
    await outbox.send()
    broker.futures[0].set_exception(KafkaConnectionError())

    with pytest.raises(KafkaConnectionError):
        await outbox.settle()

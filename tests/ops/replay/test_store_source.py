"""Stored samples as a log: each once, by time, within its range of ids."""

from collections.abc import Sequence

import numpy as np
import pytest

from ops.query import Service
from ops.replay import store_source
from ops.replay.plan import Span
from ops.replay.source import Record
from ops.replay.store_source import StoreSource
from schemas.samples import FINE_WINDOWS, SampleBlock, decode_samples
from schemas.topics import partition_of
from tests.ops.replay.stored import DAY_MS, Samples, StoredSamples

T0 = 1_800_000_000_000 // DAY_MS * DAY_MS
SPAN = Span(T0, T0 + 2 * DAY_MS, 60_000, 60_000)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> StoredSamples:
    """Two tenants over three days; a request may give 40 samples, a record 15."""
    monkeypatch.setattr(store_source, "_SAMPLES_PER_READ", 40)
    monkeypatch.setattr(store_source, "_SAMPLES_PER_RECORD", 15)
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 2**64, 20, dtype=np.uint64).tolist()
    times = rng.choice(np.arange(T0 - 120_000, T0 + 2 * DAY_MS + 120_000, 30_000), 60).tolist()
    return StoredSamples(
        Service("", ""),
        {
            name: [(series, time_ms, float(rng.integers(0, 100))) for series, time_ms in pairs]
            for name, pairs in {
                "a": [(series, time_ms) for series in ids for time_ms in set(times)],
                "b": [(ids[0], time_ms) for time_ms in set(times)],
                "silent": [],
            }.items()
        },
    )


async def read(source: StoreSource) -> list[Record]:
    return [record async for record in source.records()]


def blocks_of(records: Sequence[Record]) -> list[tuple[Record, SampleBlock]]:
    return [(record, block) for record in records for block in decode_samples(record.payload)]


async def test_every_sample_of_the_span_comes_once_and_by_time(stored: StoredSamples) -> None:
    """Within its range of ids and its tenant; a record has one retention, and knows the ranges."""
    source = StoreSource(stored, SPAN)
    source.open({}, 0)

    found = blocks_of(await read(source))

    n = source.n_partitions
    assert n > 8
    given: dict[str, Samples] = {"a": [], "b": [], "silent": []}
    for record, block in found:
        if len(block):
            assert set(partition_of(block.series_ids, n).tolist()) == {record.partition}
            assert block.receive_ms == record.log_ms == block.times_ms[-1]
            assert (np.diff(block.times_ms) >= 0).all()
            assert (block.n_partitions, block.flags) == (n, FINE_WINDOWS)
            assert set((30 + (block.values > 90)).tolist()) == {block.retention_days}
            columns = (block.series_ids.tolist(), block.times_ms.tolist(), block.values.tolist())
            given[block.tenant] += zip(*columns, strict=True)
    for name, samples in given.items():
        wanted = [
            one for one in stored.samples[name] if SPAN.begin_ms <= one[1] < SPAN.to_ms + 60_000
        ]
        assert sorted(samples) == sorted(wanted)


async def test_a_range_ends_in_a_tick_that_closes_all_and_is_its_last(
    stored: StoredSamples,
) -> None:
    source = StoreSource(stored, SPAN)
    source.open({}, 0)

    records = await read(source)

    lasts = [record for record in records if record.is_last]
    assert [record.partition for record in lasts] == list(range(source.n_partitions))
    for record in lasts:
        (tick,) = decode_samples(record.payload)
        assert len(tick) == 0
        assert tick.receive_ms > SPAN.to_ms + 60_000
    for number in range(source.n_partitions):
        own = [record for record in records if record.partition == number]
        assert own[-1].is_last
        assert own == sorted(own, key=lambda record: record.offset)


async def test_it_goes_on_where_a_checkpoint_may_be_taken(stored: StoredSamples) -> None:
    """After any resumable record, what is left is what had been left."""
    whole = StoreSource(stored, SPAN)
    whole.open({}, 0)
    records = await read(whole)
    begins: dict[int, int] = {}

    for at, record in enumerate(records):
        begins[record.partition] = record.offset + 1
        if record.is_resumable and at % 7 == 0:
            source = StoreSource(stored, SPAN)
            source.open(begins, whole.n_partitions)
            assert await read(source) == records[at + 1 :]

"""What does not fit the engine's memory is written in halves, and all of it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.samples import SampleBlock, encode_samples
from schemas.topics import ALL_SERIES, Topic
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, read
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store import client
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.coarse import closes_of
from topology.store.refused import is_out_of_memory
from topology.store.stretch_parts import parts_of
from topology.store.writer import Writer

N_SERIES, N_STEPS = 60_000, 8
# Suffices for some thousand rows, of all that stand in the batch for none.
ENOUGH, TOO_LITTLE = 9 << 20, 1 << 20


@pytest.fixture
def limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a function that limits the memory of each statement of the writer; 0 is no limit."""
    settings = dict(client._WRITE_SETTINGS)

    def to(n_bytes: int) -> None:
        monkeypatch.setattr(client, "_WRITE_SETTINGS", settings | {"max_memory_usage": n_bytes})
        engine.renew_writer()

    yield to
    monkeypatch.undo()
    engine.renew_writer()


@contextmanager
def reading_at_most(engine: Engine, n_ids: int) -> Iterator[None]:
    """Let the engine have no memory for reads of more ids: such a read is hard to make."""
    handles = type(engine.writer)
    query = handles.query_arrow

    def query_unless_large(self: Any, sql: str, parameters: dict[str, Any]) -> Any:
        if parameters["last_id"] - parameters["first_id"] > n_ids:
            raise DatabaseError("Code: 241. memory limit exceeded", code=241)
        return query(self, sql, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handles, "query_arrow", query_unless_large)
        yield


class CountingWriter(Writer):
    """Counts failures: each costs a handle."""

    n_renewed = 0

    def renew(self) -> None:
        self.n_renewed += 1
        super().renew()


def batch_of(tenant: str) -> Batch:
    batch = Batch(0.0)
    ids = np.arange(N_SERIES, dtype=np.uint64)
    for step in range(N_STEPS):
        times = np.full(N_SERIES, NOON_MS + step * 10_000, dtype=np.int64)
        values = np.random.default_rng(step).random(N_SERIES)
        record = encode_samples([SampleBlock(tenant, NOON_MS, RETENTION_DAYS, ids, times, values)])
        batch.add(Topic.SAMPLES, TopicPartition("prefix.samples", 3), step, record)
    return batch


def mark(tenant: str) -> RecomputeBlock:
    """Return a mark of the two minutes of all series; what coarser windows there are is open."""
    ids = np.arange(N_SERIES, dtype=np.uint64)
    first = np.full(N_SERIES, NOON_MS, dtype=np.int64)
    head = (tenant, NOON_MS, RETENTION_DAYS, 60, 0, 3, 0, NOON_MS)
    return RecomputeBlock(*head, ids, first, first + 60_000)


def close(tenant: str) -> CloseBlock:
    until_ms = NOON_MS + 300_000
    return CloseBlock(tenant, NOON_MS, RETENTION_DAYS, 300, *ALL_SERIES, NOON_MS, until_ms)


def test_a_batch_is_inserted_in_pieces(engine: Engine, tenant: str, limit: Any) -> None:
    writer = Writer(engine, Metrics(), now_ms)
    limit(ENOUGH)

    assert writer.insert(batch_of(tenant)) == []

    found = read(engine, tenant, "SELECT count(), uniqExact(series_id, time) FROM samples")
    assert found == [(N_SERIES * N_STEPS, N_SERIES * N_STEPS)]
    assert writer._rows_at_once < N_SERIES * N_STEPS, "the limit was none"


def test_windows_are_computed_in_pieces(engine: Engine, tenant: str, limit: Any) -> None:
    writer = CountingWriter(engine, Metrics(), now_ms)
    writer.insert(batch_of(tenant))
    limit(ENOUGH)

    for part in parts_of([mark(tenant)]):
        writer.recompute(part)
    assert writer.n_renewed, "the limit was none"
    n_failed = writer.n_renewed
    limit(0)
    with reading_at_most(engine, (ALL_SERIES[1] - ALL_SERIES[0]) // 4):
        for closes in closes_of([close(tenant)]):
            writer.make_coarse(closes)
    assert writer.n_renewed == n_failed + 3, "the whole, and both halves"

    found = read(
        engine, tenant, "SELECT width_s, count(), sum(count) FROM rollups GROUP BY width_s"
    )
    assert sorted(found) == [
        (60, 2 * N_SERIES, N_SERIES * N_STEPS),
        (300, N_SERIES, N_SERIES * N_STEPS),
    ]


def test_too_little_for_any_row_is_said(engine: Engine, tenant: str, limit: Any) -> None:
    writer = Writer(engine, Metrics(), now_ms)
    limit(TOO_LITTLE)

    with pytest.raises(Exception, match="memory limit") as raised:
        writer.insert(batch_of(tenant))

    assert is_out_of_memory(raised.value)

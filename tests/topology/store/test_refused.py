"""A row that the store refuses goes by itself; a store that is away or broken keeps all waiting."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from schemas.samples import decode_samples, encode_samples
from schemas.topics import Topic
from tests.topology.store.rows import NOON_MS, read, sample_block
from topology.clock import now_ms
from topology.dead_letters import Place
from topology.metrics import Metrics
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.refused import is_transient
from topology.store.writer import Writer

POISON = 666.0


@contextmanager
def failing(engine: Engine, *, at_no_rows: DatabaseError | None = None) -> Iterator[None]:
    """Let the engine refuse samples of the value POISON, and inserts of no rows if told so."""
    # Of all handles: the writer takes a new one after a failure.
    handles = type(engine.writer)
    insert = handles.insert_arrow

    def insert_unless_poison(self: Any, name: str, table: pa.Table) -> Any:
        if at_no_rows is not None and not table.num_rows:
            raise at_no_rows
        if POISON in table["value"].to_pylist():
            raise DatabaseError("Code: 27. cannot parse", code=27)
        return insert(self, name, table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handles, "insert_arrow", insert_unless_poison)
        yield


def batch_of(tenant: str, *values: float) -> Batch:
    """Return a batch of one record for each value, each of a series of its own."""
    batch = Batch(0.0)
    for at, value in enumerate(values):
        record = encode_samples([sample_block(tenant, [(at, NOON_MS, value)])])
        batch.add(Topic.SAMPLES, TopicPartition("prefix.samples", 3), at, record)
    return batch


def test_only_the_refused_rows_are_left_out(engine: Engine, tenant: str) -> None:
    """With their place, as a record that can be read again, and the reason."""
    writer = Writer(engine, Metrics(), now_ms)

    with failing(engine):
        refused = writer.insert(batch_of(tenant, 1.0, POISON, 2.0, 3.0, POISON))

    stored = read(engine, tenant, "SELECT value FROM samples ORDER BY series_id")
    assert stored == [(1.0,), (2.0,), (3.0,)]
    assert [place for place, _, _ in refused] == [Place(Topic.SAMPLES, 3, at) for at in (1, 4)]
    assert all(reason == "Code: 27. cannot parse" for _, _, reason in refused)
    assert [decode_samples(record)[0].values.tolist() for _, record, _ in refused] == [[POISON]] * 2


def test_a_broken_table_blames_no_row(engine: Engine, tenant: str) -> None:
    """It takes not even an insert of no rows: that is the operator's to mend."""
    missing = DatabaseError("Code: 60. no such table", code=60)

    with failing(engine, at_no_rows=missing), pytest.raises(DatabaseError, match="no such table"):
        Writer(engine, Metrics(), now_ms).insert(batch_of(tenant, POISON, 1.0))


def test_what_passes_by_itself_is_told_from_what_does_not(engine: Engine) -> None:
    """Errors of the engine by their code; without a code it is the way to the engine."""
    with pytest.raises(DatabaseError) as unknown:
        engine.writer.command("SELECT * FROM no_such_table")

    assert not is_transient(unknown.value)
    assert is_transient(OperationalError("connection refused"))
    assert is_transient(DatabaseError("Code: 243. no space", code=243))
    assert is_transient(DatabaseError("Code: 252. too many parts", code=252))

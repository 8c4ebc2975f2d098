"""Inserts that find the disk full, by the words of the engine and of the libraries below."""

import errno

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.topics import Topic
from tests.topology.running import read_topic
from tests.topology.store.archiving import Bench
from tests.topology.store.rows import NOON_MS
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.writer import Writer

pytestmark = pytest.mark.broker


@pytest.mark.parametrize(
    "full",
    [
        DatabaseError("Cannot reserve 1.00 MiB, not enough space", code=243),
        DatabaseError("Cannot write to file: No space left on device", code=75),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
async def test_a_full_disk_is_no_fault_of_the_rows(bench: Bench, full: Exception) -> None:
    """They are tried again, not dead-lettered, and their offset is committed after that only."""

    class FullAtFirst(Writer):
        n_failures = 0

        def _insert(self, name: str, tables: list[pa.Table]) -> None:
            if self.n_failures < 3:
                self.n_failures += 1
                raise full
            super()._insert(name, tables)

    writer = FullAtFirst(bench.engine, Metrics(), now_ms)
    async with bench.archiving(writer):
        await bench.publish_samples([(1, NOON_MS, 1.0)])
        await bench.wait_rows(1)

    assert writer.n_failures == 3
    assert bench.count() == 1
    assert await bench.committed(Topic.SAMPLES) == 1
    assert await read_topic(bench.settings, Topic.DEAD_LETTERS) == []

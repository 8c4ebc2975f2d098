"""The engine's memory as a whole is bounded: a query that needs too much fails, inserts go on."""

import threading
from http import HTTPStatus

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.topology.store.rows import NOON_MS, read, sample_block, store_samples
from topology.budget import StoreBudget
from topology.settings import load_settings
from topology.store.client import Engine
from topology.store.queries import explain

# 1.6 GB; the engine of these tests has 768 MiB.
TOO_MUCH = "SELECT length(groupArray(number)) FROM numbers(200000000)"
N_INSERTS = 30


def test_a_huge_query_fails_while_inserts_go_on(engine: Engine, tenant: str) -> None:
    """Without any limit of its own it is stopped by that of all together."""
    unlimited = clickhouse_connect.get_client(**engine._arguments, database=engine.database)
    failures: list[ClickHouseError] = []

    def query() -> None:
        for _ in range(3):
            try:
                unlimited.query(TOO_MUCH)
            except ClickHouseError as error:
                failures.append(error)

    querying = threading.Thread(target=query)
    querying.start()
    for second in range(N_INSERTS):
        rows = [(series, NOON_MS + second, 1.0) for series in range(1, 10_000)]
        store_samples(engine, sample_block(tenant, rows))
    querying.join()
    unlimited.close()

    assert len(failures) == 3
    assert read(engine, tenant, "SELECT count() FROM samples") == [(N_INSERTS * 9_999,)]
    failed = explain(failures[0], load_settings())
    assert failed.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "memory_bytes=2147483648: try again later" in str(failed)


def test_caches_and_engine_are_within_the_budget(engine: Engine) -> None:
    budget = StoreBudget.of(2 << 30)
    found = engine.writer.query(
        "SELECT name, toUInt64(value) FROM system.server_settings WHERE name IN "
        "('max_server_memory_usage', 'mark_cache_size', 'primary_index_cache_size')"
    )

    assert {str(name): int(value) for name, value in found.result_rows} == {
        "max_server_memory_usage": 768 << 20,
        "mark_cache_size": 64 << 20,
        "primary_index_cache_size": 64 << 20,
    }
    assert budget == StoreBudget(engine_bytes=1536 << 20, cache_bytes=64 << 20)


def test_merges_leave_space_on_the_disk(engine: Engine) -> None:
    """Zero in these tests; the setting is one that the engine has read."""
    (row,) = engine.writer.query("SELECT keep_free_space FROM system.disks").result_rows

    assert row == (0,)


@pytest.mark.parametrize("text", ["(total) memory limit exceeded", "Query memory limit exceeded"])
def test_whose_limit_it_was_decides_what_helps(text: str) -> None:
    error = clickhouse_connect.driver.exceptions.DatabaseError(
        text, code=241, name="MEMORY_LIMIT_EXCEEDED"
    )

    assert ("query_memory_bytes" in str(explain(error, load_settings()))) == ("Query" in text)

"""Handles of the embedded engine: one that has failed is not used again."""

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.store.client import Engine

FAILS_LATE = "SELECT throwIf(number = 200000) FROM numbers(300000) SETTINGS max_block_size = 1000"


def test_work_that_fails_leaves_nothing_for_the_next(engine: Engine) -> None:
    """Neither for other work beside the archive, nor for the archive's writer."""
    used: list[Client] = []

    def fail(client: Client) -> None:
        used.append(client)
        client.query_arrow(FAILS_LATE)

    with pytest.raises(ClickHouseError, match="throwIf"):
        engine.operate(fail)

    again = engine.operate(lambda client: (client, client.query("SELECT 1").result_rows))
    assert again[0] not in [*used, engine.writer]
    assert again[1] == [(1,)]
    assert engine.writer.query("SELECT 2").result_rows == [(2,)]


def test_work_that_succeeds_gives_its_handle_back(engine: Engine) -> None:
    def handle(client: Client) -> Client:
        return client

    assert engine.operate(handle) is engine.operate(handle)


def test_a_renewed_writer_goes_on(engine: Engine) -> None:
    before = engine.writer
    with pytest.raises(ClickHouseError, match="throwIf"):
        before.query_arrow(FAILS_LATE)

    engine.renew_writer()

    assert engine.writer is not before
    assert engine.writer.query_arrow("SELECT 3 AS n")["n"].to_pylist() == [3]

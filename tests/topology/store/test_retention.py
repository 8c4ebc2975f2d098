"""Rows past their retention go."""

import time

from tests.topology.store.rows import read, sample_block, store_samples
from topology.store.client import Engine
from topology.store.retention import drop, overdue

DAY_MS = 86_400_000


def test_only_days_past_their_own_retention_are_overdue(engine: Engine, tenant: str) -> None:
    """Two tiers share the table and the day; the longer one keeps it."""
    engine.writer.command("SYSTEM STOP TTL MERGES")
    engine.writer.command("SYSTEM STOP MERGES")
    now_ms = int(time.time() * 1000)
    old_ms = now_ms - 9 * DAY_MS
    try:
        store_samples(engine, sample_block(tenant, [(1, old_ms, 1.0)], retention_days=7))
        store_samples(engine, sample_block(tenant, [(2, old_ms, 2.0)], retention_days=30))
        store_samples(engine, sample_block(tenant, [(3, now_ms, 3.0)], retention_days=7))

        found = overdue(engine.writer)
        drop(engine.writer, found)
    finally:
        engine.writer.command("SYSTEM START MERGES")
        engine.writer.command("SYSTEM START TTL MERGES")

    day = time.strftime("%Y%m%d", time.gmtime(old_ms / 1000))
    assert [(one.table, one.id) for one in found] == [("stored_samples", f"7-{day}")]
    assert read(engine, tenant, "SELECT value FROM samples ORDER BY value") == [(2.0,), (3.0,)]
    assert overdue(engine.writer) == []

"""Rows past their retention go."""

import asyncio
import time

import pytest

from tests.topology.running import make_context
from tests.topology.store.rows import read, sample_block, store_samples
from tests.waiting import wait_until, wait_until_async
from topology.settings import load_settings
from topology.store import retention
from topology.store.client import Engine
from topology.store.retention import drop, overdue, watch_retention

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


async def test_the_watch_drops_what_is_overdue_and_says_so(
    engine: Engine, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the engine's own TTL stands still, the gauge is 1, and 0 after the day is gone."""
    monkeypatch.setattr(retention, "CHECK_EVERY_S", 0.02)
    context = make_context("store", load_settings())
    gauge: list[float] = []
    monkeypatch.setattr(context.metrics.store_oldest_day_overdue, "set", gauge.append)
    engine.writer.command("SYSTEM STOP TTL MERGES")
    old_ms = int(time.time() * 1000) - 9 * DAY_MS
    store_samples(engine, sample_block(tenant, [(1, old_ms, 1.0)], retention_days=7))
    watch = asyncio.create_task(watch_retention(context, engine))

    async def is_over() -> bool:
        return gauge[-1:] == [0] and 1 in gauge

    try:
        await wait_until_async(is_over, 10, "the overdue day is gone")
    finally:
        watch.cancel()
        engine.writer.command("SYSTEM START TTL MERGES")

    assert gauge[0] == 1
    assert read(engine, tenant, "SELECT count() FROM samples") == [(0,)]


def test_the_engine_drops_a_day_that_has_expired_by_itself(engine: Engine, tenant: str) -> None:
    """An expired part goes as a whole when TTL is looked at, without the watch."""
    old_ms = int(time.time() * 1000) - 9 * DAY_MS
    store_samples(engine, sample_block(tenant, [(1, old_ms, 1.0)], retention_days=8))
    store_samples(engine, sample_block(tenant, [(2, old_ms, 2.0)], retention_days=30))
    setting = "ALTER TABLE stored_samples MODIFY SETTING merge_with_ttl_timeout = {seconds:UInt32}"
    engine.writer.command(setting, parameters={"seconds": 0})
    try:
        wait_until(
            lambda: read(engine, tenant, "SELECT value FROM samples") == [(2.0,)],
            30,
            "the day of the shorter retention is gone",
        )
    finally:
        engine.writer.command(setting, parameters={"seconds": 3600})

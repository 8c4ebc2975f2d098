"""Parts and merges are watched, and writes slow down before the engine refuses them."""

import asyncio
from pathlib import Path

import pytest

from tests.topology.running import make_context
from tests.topology.store.rows import NOON_MS, sample_block, store_samples
from tests.waiting import wait_until_async
from topology import disk
from topology.disk import Disk
from topology.settings import load_settings
from topology.store import gate, parts
from topology.store.client import Engine
from topology.store.gate import Gate
from topology.store.parts import delay_limit, pause_s, watch_parts

# A retention of its own: a partition of its own.
DAYS = 3001


@pytest.mark.parametrize(
    ("n_fullest", "seconds"), [(0, 0), (500, 0), (501, 0.02), (750, 5), (1000, 10), (3000, 10)]
)
def test_the_pause_begins_at_half_of_the_limit(n_fullest: int, seconds: float) -> None:
    assert pause_s(n_fullest, limit=1000) == pytest.approx(seconds)


async def test_parts_of_the_fullest_partition_slow_writes_down(
    engine: Engine, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit of 40 parts, 30 in one partition are half way from half of it to all of it."""
    monkeypatch.setattr(parts, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(parts, "delay_limit", lambda _: 40)
    assert delay_limit(engine.writer) == 1000
    context, slowed = make_context("store", load_settings()), Gate(None)
    engine.writer.command("SYSTEM STOP MERGES")
    watch = asyncio.create_task(watch_parts(context, engine, slowed))

    async def has_paused(seconds: float) -> None:
        async def has() -> bool:
            return slowed.pause_s == pytest.approx(seconds)

        await wait_until_async(has, 5, f"a pause of {seconds} s")

    try:
        for second in range(30):
            store_samples(engine, sample_block(tenant, [(1, NOON_MS + second, 1.0)], DAYS))
        await has_paused(parts.LONGEST_PAUSE_S / 2)
        assert "parts" not in context.health.reasons()
        for second in range(10):
            store_samples(engine, sample_block(tenant, [(1, NOON_MS + second, 1.0)], DAYS))
        await has_paused(parts.LONGEST_PAUSE_S)
    finally:
        watch.cancel()
        engine.writer.command("SYSTEM START MERGES")

    reason = context.health.reasons()["parts"]
    assert "of stored_samples has 40 parts, the engine delays inserts from 40 on" in reason
    sample = context.metrics.registry.get_sample_value
    n_parts = sample("observai_store_parts", {"table": "stored_samples"})
    assert n_parts is not None
    assert n_parts >= 40
    assert sample("observai_store_parts_fullest", {"table": "stored_samples"}) == 40
    assert sample("observai_store_merges_running") is not None


async def test_the_engines_memory_is_told(engine: Engine) -> None:
    context = make_context("store", load_settings())
    watch = asyncio.create_task(watch_parts(context, engine, Gate(None)))

    async def is_told() -> bool:
        find = context.metrics.registry.get_sample_value
        return (find("observai_memory_bytes", {"part": "engine"}) or 0) > 1 << 20

    try:
        await wait_until_async(is_told, 5, "the engine's memory")
    finally:
        watch.cancel()


async def test_the_gate_is_shut_while_the_disk_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 1}
    monkeypatch.setattr(disk, "free_bytes", lambda _: free["bytes"])
    monkeypatch.setattr(gate, "CHECK_S", 0.01)
    waiting = asyncio.create_task(Gate(Disk(tmp_path, 2)).wait())

    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    free["bytes"] = 2

    assert not done
    await asyncio.wait_for(waiting, 5)

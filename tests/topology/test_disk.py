"""How much of a disk must stay free, and who says so."""

import asyncio
from pathlib import Path

import pytest

from tests.topology.running import make_context
from tests.waiting import wait_until_async
from topology import disk
from topology.disk import Disk, disk_of_broker, disk_of_store, free_bytes, watch_disk
from topology.settings import load_settings

MIB = 1 << 20


def test_a_folder_that_does_not_exist_yet_has_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)


def test_a_shortage_names_the_folder_the_bytes_and_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 99)

    assert Disk(tmp_path, 99).shortage() is None
    text = Disk(tmp_path, 100).shortage()

    assert text is not None
    assert all(part in text for part in (str(tmp_path), "99 bytes free", "100", "min_free_bytes"))


def test_the_store_stops_before_the_edge_and_both_only_where_the_disk_is_theirs() -> None:
    own = load_settings(data_dir=Path("/d"), min_free_bytes=100 * MIB)
    away = load_settings(data_dir=Path("/d"), kafka="h:1", store="clickhouse://h/db")

    assert disk_of_store(own) == Disk(Path("/d/chdb"), 100 * MIB)
    assert disk_of_broker(own) == Disk(Path("/d"), 50 * MIB)
    assert disk_of_store(away) is None
    assert disk_of_broker(away) is None


async def test_the_health_says_it_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 1}
    monkeypatch.setattr(disk, "free_bytes", lambda _: free["bytes"])
    monkeypatch.setattr(disk, "CHECK_S", 0.01)
    context = make_context("store", load_settings(data_dir=tmp_path))
    watch = asyncio.create_task(watch_disk(context, Disk(tmp_path, 2)))

    async def is_said() -> bool:
        return "1 bytes free" in context.health.reasons().get("disk", "")

    async def is_over() -> bool:
        return "disk" not in context.health.reasons()

    await wait_until_async(is_said, 5, "the health says that the disk is nearly full")
    free["bytes"] = 2
    await wait_until_async(is_over, 5, "the health says nothing any more")
    watch.cancel()

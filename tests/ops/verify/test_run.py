"""What a run makes of two looks, on a store in memory that is written to meanwhile."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from ops.places import Places
from ops.query import Service
from ops.verify import processes, run
from ops.verify.report import Report
from ops.verify.run import Request, verify
from topology.store.verify import Difference, Verdict, Width
from topology.store.verify_api import Chosen

NOW_S = 1_800_000_000


class MemoryStore:
    """Windows that differ: those of the first look, and those that stay."""

    def __init__(self, first: set[int], stays: set[int]) -> None:
        self.wrong, self._stays = first, stays

    def choose(self, *_: object) -> Chosen:
        return Chosen("t", 0, [7])

    def compare(self, _ids: Sequence[int], _from: int, _to: int, most: int) -> Iterator[Verdict]:
        found = [Difference("different", 60, start_s, 7, []) for start_s in sorted(self.wrong)]
        yield Verdict([Width(60, 100_000, 600_000, len(found))], found[:most])

    def again(self, suspects: Sequence[Difference]) -> list[Difference]:
        return [one for one in suspects if one.start_s in self.wrong]

    async def settle(self, _seconds: float) -> None:
        self.wrong = self._stays


async def verified(monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> Report:
    monkeypatch.setattr(run, "VerifiedStore", lambda *_: store)
    monkeypatch.setattr(processes, "closed_until_s", lambda *_: NOW_S)
    monkeypatch.setattr(asyncio, "sleep", store.settle)
    places = Places(None, {})
    asked = Request(None, (NOW_S - 86_400) * 1000, NOW_S * 1000, 0, 0, 0.0)
    return await verify(Service("http://store", "key"), places, asked, lambda _: None)


async def test_a_wrong_window_is_found_among_many_that_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More differ at first than are kept, and the wrong one is the last of them."""
    wrong_s = NOW_S - 60
    under_way = set(range(NOW_S - 80_000, NOW_S - 60_000))
    assert len(under_way) > run.MAX_WINDOWS
    store = MemoryStore(under_way | {wrong_s}, {wrong_s})

    found = await verified(monkeypatch, store)

    assert not found.ok
    assert [one.start_s for one in found.windows] == [wrong_s]
    assert (found.n_wrong_windows, found.n_unnamed) == (1, 0)


async def test_what_was_under_way_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await verified(monkeypatch, MemoryStore({NOW_S - 600, NOW_S - 60}, set()))

    assert found.ok
    assert found.widths[60].n_wrong == 0


async def test_more_than_can_be_named_are_not_right(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = set(range(NOW_S - 80_000, NOW_S - 60_000))

    found = await verified(monkeypatch, MemoryStore(wrong, wrong))

    assert not found.ok
    assert (len(found.windows), found.n_wrong_windows) == (run.MAX_WINDOWS, len(wrong))

"""The walk over the log, on a log and a store in memory: what balances, and what is found out."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition

from ops.query import Service
from ops.verify import logged
from ops.verify.balance import LAST_RANK, Found, Ranks, Samples, find, merge, samples_of
from ops.verify.logged import LogCheck, Walk
from ops.verify.report import Edges
from ops.verify.sample_log import Part, SampleLog
from ops.verify.store import VerifiedStore
from schemas.samples import SampleBlock, encode_samples, tick
from topology.settings import load_settings

PLACE = TopicPartition("observai.samples", 3)
NOW_MS = 1_800_000_000_000
RECENT_MS = NOW_MS - 60_000
Rows = Sequence[tuple[int, int, float]]


def block(rows: Rows, tenant: str = "t") -> SampleBlock:
    ids, times, values = zip(*rows, strict=True)
    return SampleBlock(
        *(tenant, RECENT_MS, 30),
        np.array(ids, dtype=np.uint64),
        np.array(times, dtype=np.int64) + RECENT_MS,
        np.array(values, dtype=np.float64),
    )


class MemoryLog(SampleLog):
    """Records of partition 3, and of partition 4 if there are any."""

    def __init__(self, *payloads: bytes, moved: Sequence[bytes] = ()) -> None:
        super().__init__(load_settings())
        self.payloads = {3: list(payloads), 4: list(moved)}
        self.n_reads = 0

    async def read(self, part: Part) -> AsyncIterator[list[Any]]:
        self.n_reads += 1
        for offset in range(part.start, part.end):
            number = part.place.partition
            payload = self.payloads[number][offset]
            yield [SimpleNamespace(partition=number, offset=offset, value=payload)]

    def whole(self) -> list[Part]:
        return [
            Part(TopicPartition(PLACE.topic, number), 0, len(payloads))
            for number, payloads in self.payloads.items()
            if payloads
        ]


class MemoryStore(VerifiedStore):
    """What is stored of the tenant."""

    def __init__(self, *rows: Rows) -> None:
        super().__init__(Service("http://store", "key"), None)
        self.stored = merge([samples_of(block(one)) for one in rows])

    def find(self, logged: Samples) -> Found:
        stored = self.stored
        return find(logged, stored.series_ids, stored.times_ms, stored.bits)


def walk(last_rank: int = LAST_RANK, lettered: tuple[int, ...] = ()) -> Walk:
    return Walk("t", Ranks(1, 0), last_rank, {3: set(lettered)}, NOW_MS)


async def check(log: MemoryLog, store: MemoryStore, wanted: Walk) -> LogCheck:
    made = LogCheck(log, store, wanted, lambda _: None)
    await made.check(log.whole())
    if made.n_suspects:
        await made.look_again({part.place: part.end for part in log.whole()})
    return made


async def test_a_log_with_repeats_and_other_tenants_balances() -> None:
    """Four samples of ours, one of them twice; a tick, and another tenant's with the same ids."""
    rows = [(1, 0, 1.0), (1, 10, 2.0), (2, 0, 3.0)]
    log = MemoryLog(
        encode_samples([block(rows), block([(1, 0, 7.0)], "other")]),
        encode_samples([tick(RECENT_MS)]),
        encode_samples([block([(1, 10, 2.5)])]),
    )

    found = await check(log, MemoryStore(rows, [(1, 10, 2.5)]), walk())

    balance = found.balance
    assert (balance.n_records, balance.logged, balance.chosen) == (3, 4, 4)
    assert (balance.stored, balance.repeated, balance.difference) == (3, 1, 0)
    assert found.series_ids == {1, 2}
    assert found.differences == []


async def test_a_lost_and_a_wrong_sample_are_named() -> None:
    """With both values and their bits."""
    log = MemoryLog(encode_samples([block([(1, 0, 1.0), (1, 10, 2.0), (2, 0, 3.0)])]))

    found = await check(log, MemoryStore([(1, 10, 2.5), (2, 0, 3.0)]), walk())

    assert [(one.kind, one.series_id, one.time_ms - RECENT_MS) for one in found.differences] == [
        ("lost", 1, 0),
        ("wrong", 1, 10),
    ]
    assert found.differences[1].logged == "2.0 (4000000000000000)"
    assert found.differences[1].stored == "2.5 (4004000000000000)"
    assert (found.balance.lost, found.balance.wrong, found.balance.stored) == (1, 1, 1)
    assert found.balance.difference == 2


async def test_a_value_that_came_after_the_part_is_not_wrong() -> None:
    """The store is ahead of what was walked; the first look cannot know."""
    log = MemoryLog(encode_samples([block([(1, 0, 1.0)])]), encode_samples([block([(1, 0, 2.0)])]))
    made = LogCheck(log, MemoryStore([(1, 0, 2.0)]), walk(), lambda _: None)

    await made.check([replace(part, end=1) for part in log.whole()])
    assert made.n_suspects == 1
    await made.look_again({PLACE: 2})

    assert (made.balance.stored, made.balance.difference) == (1, 0)


async def test_a_repeat_that_the_store_has_not_taken_is_wrong() -> None:
    """The first value stands, the second arrived last."""
    log = MemoryLog(encode_samples([block([(1, 0, 1.0), (1, 0, 2.0)])]))

    found = await check(log, MemoryStore([(1, 0, 1.0)]), walk())

    assert [one.kind for one in found.differences] == ["wrong"]


@pytest.mark.parametrize(("stored", "n_wrong"), [(1.0, 0), (2.0, 0), (3.0, 1), (4.0, 2)])
async def test_of_two_partitions_none_is_the_later_one(stored: float, n_wrong: int) -> None:
    """A series has moved: the log cannot say which partition's last value came last.

    A value that was replaced within its partition (3) is right nowhere, nor one never logged (4).
    """
    log = MemoryLog(
        encode_samples([block([(1, 0, 3.0)])]),
        encode_samples([block([(1, 0, 1.0)])]),
        moved=[encode_samples([block([(1, 0, 2.0)])])],
    )

    found = await check(log, MemoryStore([(1, 0, stored)]), walk())

    assert (found.balance.wrong, found.balance.lost) == (n_wrong, 0)


async def test_dead_letters_account_for_what_is_not_stored() -> None:
    """Records that cannot be read, one that the store refused, and one that nobody tells of.

    The last is of a newer format: an operator has let the stages pass over it.
    """
    newer = bytearray(encode_samples([block([(1, 0, 1.0)])]))
    newer[3] = 77
    log = MemoryLog(
        b"garbage",
        encode_samples([block([(1, 0, 1.0)])]),
        b"OA garbage",
        encode_samples([block([(2, 0, 1.0)])]),
        bytes(newer),
    )

    found = await check(log, MemoryStore([(2, 0, 1.0)]), walk(lettered=(0, 1, 4)))

    balance = found.balance
    assert (balance.unreadable, balance.without_letter) == (3, 1)
    assert (balance.chosen, balance.stored, balance.dead_lettered) == (2, 1, 1)
    assert balance.difference == 1
    assert found.differences == []


async def test_what_has_expired_is_not_missed() -> None:
    """Thirty days are kept."""
    old_ms = -30 * 86_400_000
    log = MemoryLog(encode_samples([block([(1, old_ms, 1.0), (1, 0, 1.0)])]))

    found = await check(log, MemoryStore([(1, 0, 1.0)]), walk())

    assert (found.balance.expired, found.balance.difference) == (1, 0)


async def test_only_chosen_series_are_looked_up_and_all_are_counted() -> None:
    """Ranks up to 1."""
    log = MemoryLog(encode_samples([block([(1, 0, 1.0), (2, 0, 1.0), (3, 0, 1.0)])]))

    found = await check(log, MemoryStore([(1, 0, 1.0)]), walk(last_rank=1))

    assert (found.balance.logged, found.balance.chosen, found.balance.stored) == (3, 1, 1)


async def test_what_does_not_fit_the_memory_is_read_in_several_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Records are counted once, and every sample is looked up."""
    monkeypatch.setattr(logged, "MAX_SAMPLES", 50)
    all_rows = [[(key, time_ms, 1.0) for key in range(40)] for time_ms in range(10)]
    log = MemoryLog(*(encode_samples([block(rows)]) for rows in all_rows))

    found = await check(log, MemoryStore(*all_rows), walk())

    assert log.n_reads > 5
    assert (found.balance.n_records, found.balance.logged) == (10, 400)
    assert (found.balance.chosen, found.balance.stored) == (400, 400)


@pytest.mark.parametrize(
    ("since_s", "from_s", "unlogged"), [(100, 100, 2), (99, 100, 0), (100, None, 0)]
)
async def test_accepted_samples_must_be_logged_where_both_are_known(
    since_s: float, from_s: int | None, unlogged: int
) -> None:
    """Edges older than the log that was read have accepted more than stands there."""
    log = MemoryLog(encode_samples([block([(1, 0, 1.0)])]))
    found = await check(log, MemoryStore([(1, 0, 1.0)]), walk())

    found.balance.count_edges(Edges(since_s, 3, {}), from_s)

    assert found.balance.unlogged == found.balance.difference == unlogged

"""Marks of windows that differ: of which width, on which partition, how many a record."""

import numpy as np
import pytest

from ops.verify import repair
from ops.verify.repair import records_of
from schemas.rollups import RecomputeBlock, decode_rollups
from schemas.topics import partition_of
from topology.store.checks import check_mark
from topology.store.verify import Difference
from topology.store.verify_api import Chosen

NOON_S = 1_800_000_000
CHOSEN = Chosen("acme", 0, [], retention_days=30, sample_flags=1)
ENDS = [11, 12, 13, 14]


def wrong(width_s: int, start_s: int, series_id: int = 7) -> Difference:
    return Difference("missing", width_s, start_s, series_id, [])


def marks_of(windows: list[Difference]) -> list[tuple[int, RecomputeBlock]]:
    found = []
    for partition, record in records_of(windows, CHOSEN, NOON_S * 1000 + 7_200_000, ENDS):
        (block,) = decode_rollups(record)
        assert isinstance(block, RecomputeBlock)
        check_mark(block, partition)
        found.append((partition, block))
    return found


def test_of_coarse_windows_the_minutes_are_marked() -> None:
    marks = marks_of([wrong(3600, NOON_S), wrong(60, NOON_S), wrong(10, NOON_S + 10)])

    stretches = [
        (block.width_s, *(int(one[i]) // 1000 - NOON_S for one in (block.first_ms, block.last_ms)))
        for _, block in marks
        for i in range(len(block))
    ]
    assert stretches == [(10, 10, 10), (60, 0, 0), (60, 0, 3540)]
    _, block = marks[0]
    head = (block.tenant, block.retention_days, block.flags, block.closed_until_ms)
    assert head == ("acme", 30, 1, NOON_S * 1000 + 7_200_000)


def test_each_series_is_marked_where_its_samples_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record holds marks of one day, and a bounded number."""
    monkeypatch.setattr(repair, "_MARKS_PER_RECORD", 3)
    ids = [int(one) for one in np.random.default_rng(1).integers(0, 1 << 63, 20)]

    marks = marks_of([wrong(60, NOON_S + day * 86_400, one) for one in ids for day in (0, 1)])

    found = []
    for partition, block in marks:
        assert len(block) <= 3
        assert block.samples_offset == ENDS[partition] - 1
        assert (partition_of(block.series_ids, len(ENDS)) == partition).all()
        assert len(set(block.first_ms // 86_400_000)) == 1
        found += block.series_ids.tolist()
    assert sorted(found) == sorted(ids * 2)

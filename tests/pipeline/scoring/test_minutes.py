"""Windows of five minutes, made of minutes in the score stage: what is judged, and when."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scoring.minutes import Minutes
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from pipeline.scoring.rules import SeriesRules
from schemas.rollups import CloseBlock, RollupBlock
from schemas.scores import ScoreBlock
from schemas.topics import ALL_SERIES
from tests.pipeline.scoring.windows import MINUTE_MS, T0_MS, announced, rollups

FIVE_MS = 5 * MINUTE_MS
FIRST_MS = -(-T0_MS // FIVE_MS) * FIVE_MS
FIRST = (FIRST_MS - T0_MS) // MINUTE_MS
CONFIG = ScoresConfig(SeriesRules(widths_s={"default": [300]}))


def close(from_window: int, until_window: int) -> CloseBlock:
    bounds = (FIRST_MS + from_window * FIVE_MS, FIRST_MS + until_window * FIVE_MS)
    return CloseBlock("t", bounds[1] + 10_000, 30, 300, *ALL_SERIES, *bounds)


def minute(at: int, ids: list[int], values: list[float]) -> RollupBlock:
    """Return a minute of some series; at: from the first whole five minutes on."""
    block = rollups(ids, [FIRST + at] * len(ids), values, increases=[6.0] * len(ids))
    return replace(block, lasts=block.firsts)


def rows_of(blocks: list[ScoreBlock]) -> list[tuple[int, int, float, float]]:
    return [
        (int(series), int(start_ms - FIRST_MS) // FIVE_MS, float(value), float(score))
        for block in blocks
        for series, start_ms, value, score in zip(
            block.series_ids, block.window_starts_ms, block.values, block.scores, strict=True
        )
    ]


def test_minutes_add_up_to_the_windows_that_a_close_names() -> None:
    held = Minutes(1 << 20)
    for at in (0, 1, 4, 5, 11):
        held.hold(minute(at, [7], [float(at)]))
    held.hold(minute(4, [3], [1.0]))

    made = held.take(close(0, 2))

    assert made is not None
    assert (made.width_s, made.receive_ms, made.retention_days) == (300, close(0, 2).receive_ms, 30)
    starts = ((made.window_starts_ms - FIRST_MS) // FIVE_MS).tolist()
    assert list(zip(made.series_ids.tolist(), starts, strict=True)) == [(3, 0), (7, 0), (7, 1)]
    assert made.counts.tolist() == [4, 12, 4]
    assert made.sums.tolist() == [4.0, 20.0, 20.0]
    assert (made.mins.tolist(), made.maxs.tolist()) == ([1, 0, 5], [2, 5, 6])
    assert (made.lasts.tolist(), made.increases.tolist()) == ([1, 4, 5], [6, 18, 6])
    assert held.take(close(0, 2)) is None
    last = held.take(close(2, 3))
    assert last is not None
    assert last.counts.tolist() == [4]


def test_a_minute_published_again_counts_once() -> None:
    """As after a crash, when its record is in the log twice."""
    held = Minutes(1 << 20)
    for at in (0, 1, 2, 3, 4, 3, 4):
        held.hold(minute(at, [7, 8], [10.0 * (at + 1), 1.0]))

    made = held.take(close(0, 1))

    assert made is not None
    assert (made.sums / made.counts).tolist() == [30, 1]
    assert made.increases.tolist() == [30, 30]


def test_a_window_scores_as_one_that_came_as_a_whole() -> None:
    """Also where minutes are missing, and over a close of several windows."""
    values = 100 + np.random.default_rng(3).standard_normal(1_000)
    values[900:905] = 200
    whole, parts = PartitionScores(CONFIG), PartitionScores(CONFIG)
    for one in (whole, parts):
        one.announce(announced({7: "load"}))
    expected, found = [], []

    for window in range(200):
        of_window = values[5 * window : 5 * window + 5].tolist()
        for at, value in enumerate(of_window):
            found += parts.feed([minute(5 * window + at, [7], [value])])
        if window % 3 == 0:
            found += parts.feed([close(max(window - 2, 0), window + 1)])
        mean = float(np.mean(of_window))
        expected += whole.feed([rollups([7], [(FIRST // 5) + window], [mean], width_s=300)])

    got = rows_of(found + parts.feed([close(199, 200)]))
    assert [row[:2] for row in got] == [(7, window) for window in range(200)]
    wanted = [row[2:] for row in rows_of(expected)]
    np.testing.assert_allclose([row[2:] for row in got], wanted, rtol=1e-5, atol=1e-5)
    assert max(row[3] for row in got) > 1


@settings(max_examples=20)
@given(st.integers(0, 40))
def test_a_snapshot_between_two_minutes_changes_nothing(at: int) -> None:
    blocks: list[RollupBlock | CloseBlock] = []
    for number in range(40):
        blocks.append(minute(number, [7, 8], [float(number), 1.0]))
        if number % 5 == 4:
            blocks.append(close(number // 5, number // 5 + 1))
    whole, first, second = (PartitionScores(CONFIG) for _ in range(3))
    for one in (whole, first):
        one.announce(announced({7: "load", 8: "load"}))
    expected = [row for block in blocks for row in rows_of(whole.feed([block]))]

    found = [row for block in blocks[:at] for row in rows_of(first.feed([block]))]
    assert second.restore(first.snapshot()) is None
    found += [row for block in blocks[at:] for row in rows_of(second.feed([block]))]

    assert found == expected
    assert len(found) == 16


def test_what_waits_is_bounded() -> None:
    """A close takes all before its end along; beyond the memory given nothing waits."""
    held = Minutes(1 << 20)
    for at in range(12):
        held.hold(minute(at, [7], [1.0]))
    held.take(close(1, 2))
    assert held.n_bytes() == 2 * 76

    small = Minutes(10 * 76)
    small.hold(minute(0, list(range(1, 11)), [1.0] * 10))
    assert (small.n_bytes(), small.n_forgotten) == (760, 0)
    small.hold(minute(1, [1], [1.0]))
    assert (small.n_bytes(), small.n_forgotten) == (0, 11)
    assert small.take(close(0, 1)) is None


def test_a_tenant_without_the_width_has_no_minutes_waiting() -> None:
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load"}))
    before = scores.n_bytes()

    assert scores.feed([minute(at, [7], [1.0]) for at in range(5)] + [close(0, 1)])

    assert scores.n_bytes() - before < 5_000_000
    assert scores.snapshot().minutes == []


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[10, 60, 300\]"):
        SeriesRules(widths_s={"acme": [3600]})

"""The score engine of a partition: which number of which window is judged, by a plain reference."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.anomaly import scorer as anomaly_scorer
from pipeline.anomaly.rules import Direction, Rule
from pipeline.anomaly.scorer import Scorer
from pipeline.scoring.models import SHARD_SLOTS, bytes_per_model
from pipeline.scoring.partition import HOUR_MS, PartitionScores, ScoresConfig
from pipeline.scoring.rounding import rounded
from pipeline.scoring.rules import SeriesRules
from pipeline.scoring.series_table import SERIES, SeriesTable
from schemas.rollups import RollupBlock
from schemas.scores import COLUMNS, ScoreBlock
from schemas.series import MetricType
from tests.pipeline.scoring.windows import MINUTE_MS, T0_MS, announced, rollups

# (series, window start in ms) -> (value, score, alarm, expected or None where it is NaN)
Rows = dict[tuple[int, int], tuple[float, float, float, float | None]]


def rows_of(blocks: list[ScoreBlock]) -> Rows:
    found: Rows = {}
    for block in blocks:
        keys = zip(block.series_ids.tolist(), block.window_starts_ms.tolist(), strict=True)
        columns = (block.values, block.scores, block.alarms, block.expected)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for key, (value, score, alarm, expected) in zip(keys, rows, strict=True):
            assert key not in found
            found[key] = (value, score, alarm, number(expected))
    return found


def number(expected: float) -> float | None:
    return None if np.isnan(expected) else float(expected)


def judged(values: NDArray[np.float64], first_minute: int = 0, rule: Rule | None = None) -> Rows:
    """Return what one series' model says, by the plain engine."""
    plain = Scorer([rule or Rule()])
    plain.grow(1)
    minutes = first_minute + np.arange(len(values))
    starts_ms = T0_MS + minutes * MINUTE_MS
    slots = np.zeros(len(values), dtype=np.int64)
    got = rounded(plain.update(slots, starts_ms / 1000, values))
    return {
        (7, int(start_ms)): (
            *(float(np.float32(value)), float(got.score[i]), float(got.alarm[i])),
            number(got.expected[i]),
        )
        for i, (start_ms, value) in enumerate(zip(starts_ms, values.tolist(), strict=True))
        if np.isfinite(value)
    }


def noise(n: int, seed: int = 3) -> NDArray[np.float64]:
    values = 100 + np.random.default_rng(seed).standard_normal(n)
    values[n - 20] = 200
    return values


@pytest.mark.parametrize(
    ("lasts", "increases", "rates"),
    [
        # In the third minute it falls from 130 to 0, and rises to 45.
        ([10, 70, 45, 105], [0, 60, 105, 60], [None, 1, None, 1]),
        # It begins anew exactly between two minutes: 70, then 5 and on to 65.
        ([10, 70, 65, 125], [0, 60, 65, 60], [None, 1, None, 1]),
        # To a value beyond the one before: 70, then 80 of a new count.
        ([10, 70, 80, 140], [0, 60, 80, 60], [None, 1, None, 1]),
        # A stale marker between 70 and 100: nobody knows whether that is an increase.
        ([10, 70, 130, 190], [0, 60, 30, 60], [None, 1, None, 1]),
        # A large counter: 0.1 and 0.2 are no numbers of two digits.
        (
            [1e15, 1e15 + 60, 1e15 + 120.25, 1e15 + 180],
            [0, 60, 60.3, 59.7],
            [None, 1, 1.005, 0.995],
        ),
    ],
)
def test_a_counter_that_began_anew_is_not_judged_in_that_window(
    lasts: list[float], increases: list[float], rates: list[float | None]
) -> None:
    """What it had counted since the sample before is lost: that is no fall, and no peak."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests_total"}))
    block = rollups([7] * 4, range(4), np.zeros(4), increases=increases)

    found = rows_of(scores.feed([replace(block, lasts=np.array(lasts, dtype=np.float64))]))

    by_minute = {(start_ms - T0_MS) // MINUTE_MS: row[0] for (_, start_ms), row in found.items()}
    assert [by_minute.get(minute) for minute in range(4)] == pytest.approx(rates)


def test_a_window_after_one_that_was_not_streamed_has_no_rate() -> None:
    """Its increase is that of one minute, and the time since the window before is two."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests_total"}))
    block = rollups([7] * 3, [0, 1, 2], np.zeros(3), increases=[60.0, 60.0, 60.0])
    after = rollups([7] * 2, [4, 5], np.zeros(2), increases=[60.0, 60.0], totals={7: 240.0})

    found = rows_of(scores.feed([block, after]))

    assert [start_ms - T0_MS for _, start_ms in found] == [
        MINUTE_MS * minute for minute in (1, 2, 5)
    ]


def test_gauges_are_judged_by_their_means() -> None:
    values = noise(300)
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load"}))

    found = [
        one
        for minute in range(len(values))
        for one in scores.feed([rollups([7], [minute], [values[minute]])])
    ]

    assert rows_of(found) == judged(values)
    assert max(alarm for _, _, alarm, _ in rows_of(found).values()) > 1
    assert scores.take_counts()["scored"] == 150
    assert dict(+scores.n_series()) == {"learned": 1}


def test_counters_are_judged_by_their_increase_per_second() -> None:
    rates = noise(300)
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests_total"}))

    block = rollups([7] * 300, range(300), np.zeros(300), increases=(60 * rates).tolist())
    found = rows_of(scores.feed([block]))

    # Of the first window it is not known what came before its first sample.
    expected = judged(rates[1:], first_minute=1)
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert row == pytest.approx(expected[key], rel=1e-6)


@pytest.mark.parametrize(
    ("minutes", "counts", "increases", "lasts", "rates"),
    [
        # A gap of three minutes: the increase is that of four.
        ([0, 1, 5], [4, 4, 4], [60, 60, 240], [60, 120, 360], [None, 1, 1]),
        # After more than the lookback, nobody knows since when it has increased.
        ([0, 1, 7], [4, 4, 4], [60, 60, 60], [60, 120, 180], [None, 1, None]),
        # The agent was stopped in the minute: one of four samples.
        ([0, 1, 2], [4, 4, 1], [60, 60, 15], [60, 120, 135], [None, 1, None]),
        # A window that has been judged already, and one before it.
        (
            *([0, 1, 1, 0, 2], [4] * 5, [60, 60, 90, 90, 60], [60, 120, 150, 90, 180]),
            [None, 1, None, None, 1],
        ),
    ],
)
def test_a_counter_is_not_judged_where_its_increase_is_not_known(
    minutes: list[int],
    counts: list[int],
    increases: list[float],
    lasts: list[float],
    rates: list[float | None],
) -> None:
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests_total"}))

    found: list[float | None] = []
    for minute, count, increase, last in zip(minutes, counts, increases, lasts, strict=True):
        before = {7: last - increase}
        window = rollups([7], [minute], [0.0], increases=[increase], totals=before, counts=[count])
        blocks = scores.feed([window])
        found.append(float(blocks[0].values[0]) if blocks else None)

    assert found == rates


def test_a_rule_chooses_the_value_and_reaches_the_model() -> None:
    values = noise(300)
    rules = SeriesRules.parse({"rule": [{"metric": "load", "value": "max", "direction": "below"}]})
    scores = PartitionScores(ScoresConfig(rules))
    scores.announce(announced({7: "load"}))

    found = scores.feed([rollups([7] * 300, range(300), values)])

    assert rows_of(found) == judged(values + 1, rule=Rule(Direction.BELOW))
    assert found[0].alarms.max() <= 1


def test_what_is_not_scored_is_known() -> None:
    rules = SeriesRules.parse({"rule": [{"metric": "noisy", "exclude": True}]})
    scores = PartitionScores(ScoresConfig(rules))
    scores.announce(announced({1: "a_bucket", 2: "noisy", 3: "load"}))
    block = rollups([1, 2, 3, 4], [0] * 4, [1.0] * 4)

    assert scores.n_unknown([block]) == 1
    (found,) = scores.feed([block])
    assert found.series_ids.tolist() == [3]
    assert scores.take_counts()["unknown"] == 1
    assert dict(+scores.n_series()) == {"learning": 1, "left_out": 2}


def test_a_window_closed_before_the_announcement_is_not_judged() -> None:
    """However early the announcement was read: so a second run judges the same."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load"}, receive_ms=T0_MS + 500))

    before = scores.feed([rollups([7], [0], [1.0], receive_ms=T0_MS + 499)])
    after = scores.feed([rollups([7], [1], [1.0], receive_ms=T0_MS + 500)])

    assert before == []
    assert after[0].window_starts_ms.tolist() == [T0_MS + MINUTE_MS]


def test_only_what_tells_something_is_given_out() -> None:
    values = noise(300)
    everything = judged(values)
    scores = PartitionScores(ScoresConfig(stored_from=0.5))
    scores.announce(announced({7: "load"}))

    found = rows_of(scores.feed([rollups([7] * 300, range(300), values)]))

    telling = {key: row for key, row in everything.items() if row[1] >= 0.5}
    assert found == telling
    assert 0 < len(telling) < len(everything)


def test_widths_are_judged_apart() -> None:
    rules = SeriesRules.parse({"widths": {"t": [10, 60]}})
    scores = PartitionScores(ScoresConfig(rules))
    scores.announce(announced({7: "load"}))

    fine = scores.feed([rollups([7], [0], [1.0], width_s=10)])
    both = scores.feed([rollups([7], [1], [2.0], width_s=10), rollups([7], [0], [1.5])])

    assert [(one.width_s, one.values.tolist()) for one in fine + both] == [
        (10, [1.0]),
        (10, [2.0]),
        (60, [1.5]),
    ]
    assert scores.feed([rollups([7], [0], [1.0], width_s=300)]) == []


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 11), st.integers(0, 9))
def test_a_snapshot_at_any_place_changes_nothing(sizes: list[int], cut: int, seed: int) -> None:
    """Neither does how windows are divided into blocks."""
    rng = np.random.default_rng(seed)
    n_series = 5
    blocks: list[RollupBlock] = []
    totals: dict[int, float] = {}
    for minute, size in enumerate(sizes):
        ids = (rng.choice(n_series, size, replace=False) + 1).tolist()
        increases = rng.integers(0, 100, size).astype(float).tolist()
        columns = (ids, [minute] * size, rng.random(size))
        blocks.append(rollups(*columns, increases=increases, totals=totals))
    names = {1: "a", 2: "b_total", 3: "c_bucket", 4: "d", 5: "e_count"}
    config = ScoresConfig()
    one, other = PartitionScores(config), PartitionScores(config)
    one.announce(announced(names))
    other.announce(announced(names))

    whole = rows_of(one.feed(blocks))
    first = rows_of([score for block in blocks[:cut] for score in other.feed([block])])
    again = PartitionScores(config)
    assert again.restore(other.snapshot()) is None
    rest = rows_of(again.feed(blocks[cut:]))

    assert first | rest == whole
    assert again.snapshot() == one.snapshot()


def test_models_of_another_build_are_learned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of the series is kept, and so is where they stand."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests_total"}))
    scores.feed([rollups([7] * 300, range(300), np.zeros(300), increases=[60.0] * 300)])
    state = scores.snapshot()
    monkeypatch.setattr(anomaly_scorer, "VERSION", anomaly_scorer.VERSION + 1)

    again = PartitionScores(ScoresConfig())
    lost = again.restore(state)

    assert lost is not None
    assert "version" in lost
    one_more = rollups([7], [300], [0.0], increases=[60.0], totals={7: 18_000.0})
    (found,) = again.feed([one_more])
    assert found.values.tolist() == [1.0]
    assert found.learning_s[0] > 0
    assert dict(+again.n_series()) == {"learning": 1}


def test_how_long_it_will_learn_is_known_from_the_first_window_on() -> None:
    """150 windows, of ten seconds or a minute; or what its rule says."""
    document = {"rule": [{"metric": "slow", "least_hours": 5}], "widths": {"t": [10, 60]}}
    scores = PartitionScores(ScoresConfig(SeriesRules.parse(document)))
    scores.announce(announced({7: "load", 8: "slow"}))

    for width_s in (10, 60):
        for minute in range(3):
            (found,) = scores.feed([rollups([7, 8], [minute] * 2, [1.0, 1.0], width_s=width_s)])

            left_s = [(150 - minute) * width_s, 5 * 3600 - minute * width_s]
            assert found.learning_s.tolist() == left_s


def restarted(scores: PartitionScores, rules: SeriesRules) -> PartitionScores:
    """Return the engine of another process, which has other rules."""
    state = scores.snapshot()
    again = PartitionScores(ScoresConfig(rules.remembering(state.rules.values())))
    assert again.restore(state) is None
    assert not again.needs_announcements(state)
    return again


def test_other_rules_hold_from_the_next_announcement_on() -> None:
    """Until then a series is scored as before; one of the same value keeps what it has learned."""
    values = noise(300)
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load", 8: "heat"}))
    both = rollups([7, 8] * 200, np.repeat(np.arange(200), 2).tolist(), np.repeat(values[:200], 2))
    scores.feed([both])
    rules = SeriesRules.parse({"rule": [{"metric": "heat", "value": "max"}]})

    other = restarted(scores, rules)
    untold = rollups([7, 8], [200, 200], [100.0, 100.0])

    assert other.n_unknown([untold]) == 0
    (found,) = other.feed([untold])
    assert found.values.tolist() == [100, 100]
    other.announce(announced({7: "load", 8: "heat"}, receive_ms=untold.receive_ms))
    (found,) = other.feed([rollups([7, 8], [201, 201], [100.0, 100.0])])
    learning = dict(zip(found.series_ids.tolist(), found.learning_s.tolist(), strict=True))
    assert learning[7] == 0
    assert learning[8] > 0
    assert dict(zip(found.series_ids.tolist(), found.values.tolist(), strict=True))[8] == 101


def test_a_restart_with_other_rules_judges_as_if_there_had_been_none() -> None:
    """Each series has its rule of before, whatever its index is now, or if it is there no more."""
    specs = {
        "stays": {"metric": "a", "direction": "below"},
        "goes": {"metric": "b", "sensitivity": 2.0},
        "new": {"metric": "zzz", "least_hours": 9.0},
    }
    before = SeriesRules.parse({"rule": [specs["goes"], specs["stays"]]})
    after = SeriesRules.parse({"rule": [specs["new"], specs["stays"]]})
    values = noise(300)
    blocks = [rollups([7, 8, 9], [minute] * 3, [values[minute]] * 3) for minute in range(300)]
    whole = PartitionScores(ScoresConfig(before))
    whole.announce(announced({7: "a", 8: "b", 9: "c"}))

    found = rows_of([one for block in blocks[:270] for one in whole.feed([block])])
    other = restarted(restarted(whole, after), SeriesRules())
    rest = rows_of(other.feed(blocks[270:]))

    assert rest == rows_of(whole.feed(blocks[270:]))
    assert len(found) + len(rest) == 900
    assert rest[7, int(blocks[280].window_starts_ms[0])][2] <= 1
    assert rest[9, int(blocks[280].window_starts_ms[0])][2] > 1
    assert other.take_counts()["unknown"] == 0
    assert sorted(other.snapshot().rules.values()) == sorted(before.index_of)


def test_a_checkpoint_that_names_no_rules_has_announcements_read_again() -> None:
    """As builds wrote it that let series wait for their next announcement."""
    rules = SeriesRules.parse({"rule": [{"metric": "load", "value": "max"}]})
    scores = PartitionScores(ScoresConfig(rules))
    scores.announce(announced({7: "load"}, receive_ms=(1 << 63) - 1))
    state = msgspec.structs.replace(scores.snapshot(), widths_digest=b"of rules", rules={})

    again = PartitionScores(ScoresConfig(rules))
    assert again.restore(state) is None

    assert again.needs_announcements(state)
    again.announce(announced({7: "load"}))
    (found,) = again.feed([rollups([7], [0], [1.0])])
    assert found.values.tolist() == [2.0]
    assert list(again.snapshot().rules) == [1]


def test_a_width_that_is_new_has_announcements_read_again() -> None:
    state = PartitionScores(ScoresConfig()).snapshot()
    wider = PartitionScores(ScoresConfig(SeriesRules(widths_s={"t": [10, 60]})))

    assert wider.needs_announcements(state)


def test_a_window_that_is_passed_over_for_a_late_announcement_is_counted() -> None:
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load", 8: "a_bucket"}, receive_ms=T0_MS + 500))

    assert scores.feed([rollups([7, 8], [0, 0], [1.0, 1.0], receive_ms=T0_MS + 499)]) == []

    assert scores.take_counts()["unknown"] == 1


def test_a_type_that_becomes_known_begins_a_new_model() -> None:
    """And a sender that does not know it takes nothing back."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "requests"}))
    scores.feed([rollups([7] * 3, range(3), [1.0, 2.0, 3.0])])

    scores.announce(announced({7: "requests"}, MetricType.COUNTER))
    scores.announce(announced({7: "requests"}))
    (found,) = scores.feed([rollups([7], [3], [4.0], increases=[120.0], totals={7: 3.0})])

    assert found.values.tolist() == [2.0]
    assert np.isnan(found.expected[0]) or found.expected[0] == 2.0


def two_shards() -> int:
    """Return the memory with which two shards of models fit, and no third."""
    return int(2.5 * SHARD_SLOTS * bytes_per_model()) * 144 // 103


def test_where_memory_is_short_the_series_silent_for_longest_make_room() -> None:
    n = 2 * SHARD_SLOTS
    scores = PartitionScores(ScoresConfig(max_bytes=two_shards()))
    old, new = np.arange(1, n + 1).tolist(), np.arange(n + 1, n + 101).tolist()
    scores.announce(announced(dict.fromkeys(old, "a")))
    scores.announce(announced(dict.fromkeys(new, "a")))
    scores.feed([rollups(old, [0] * n, np.zeros(n))])
    scores.feed([rollups(old[: n // 2], [9] * (n // 2), np.zeros(n // 2))])

    too_early = scores.feed([rollups(new, [9] * 100, np.zeros(100))])
    in_time = scores.feed([rollups(new, [15] * 100, np.zeros(100))])

    assert too_early == []
    assert in_time[0].series_ids.tolist() == new
    # A quarter of those that were silent for more than ten minutes.
    assert scores.take_counts()["evicted"] == n // 8
    assert scores.n_series()["learning"] == n + 100 - n // 8
    assert scores.n_bytes() <= two_shards()


def test_series_silent_for_long_are_forgotten() -> None:
    scores = PartitionScores(ScoresConfig(forget_ms=2 * HOUR_MS))
    scores.announce(announced({7: "load", 8: "load"}))
    scores.feed([rollups([7, 8], [0, 0], [1.0, 1.0])])

    scores.feed([rollups([7], [125], [1.0])])
    scores.feed([rollups([7], [250], [1.0])])

    assert scores.n_unknown([rollups([7, 8], [251, 251], [1.0, 1.0])]) == 1
    assert dict(+scores.n_series()) == {"learning": 1}


def test_tenants_in_one_record_are_judged_as_by_themselves() -> None:
    """Of two tenants' series, some not known, the blocks' order and owners stay."""
    minutes = [*range(160), 200]
    by_tenant = {"a": [3, 9, 7], "b": [8, 1], "c": [5]}
    rng = np.random.default_rng(5)
    records = [
        [
            replace(
                rollups(ids, [minute] * len(ids), rng.normal(100, 1, len(ids)), receive_ms=T0_MS),
                tenant=tenant,
                retention_days=days,
            )
            for days, (tenant, ids) in enumerate(by_tenant.items(), 1)
        ]
        for minute in minutes
    ]

    def scored(*, together: bool) -> list[ScoreBlock]:
        scores = PartitionScores(ScoresConfig())
        for tenant, ids in by_tenant.items():
            scores.announce(replace(announced(dict.fromkeys(ids[:2], "load")), tenant=tenant))
        feeds = records if together else [[block] for blocks in records for block in blocks]
        return [one for blocks in feeds for one in scores.feed(blocks)]

    found, expected = scored(together=True), scored(together=False)

    assert [(one.tenant, one.retention_days) for one in found] == [
        (one.tenant, one.retention_days) for one in expected
    ]
    assert any((one.scores > 0).any() for one in found)
    for one, other in zip(found, expected, strict=True):
        order, of_other = np.argsort(one.series_ids), np.argsort(other.series_ids)
        for name in COLUMNS:
            np.testing.assert_array_equal(
                getattr(one, name)[order], getattr(other, name)[of_other], name
            )


@pytest.mark.parametrize("are_together", [True, False])
def test_ids_made_up_to_meet_another_tenants_share_nothing(*, are_together: bool) -> None:
    """One announces the id as a counter with a rule of its own; each is judged as by itself."""
    specs = [{"metric": "load", "tenant": "evil", "value": "rate", "sensitivity": 0.1}]
    rules = SeriesRules.parse({"rule": specs})
    values = {"evil": np.full(300, 1e9), "victim": noise(300)}

    def scored(*tenants: str) -> Rows:
        scores = PartitionScores(ScoresConfig(rules))
        for tenant in tenants:
            scores.announce(replace(announced({7: "load"}), tenant=tenant))
        blocks = [
            replace(rollups([7], [minute], values[tenant][[minute]]), tenant=tenant)
            for minute in range(300)
            for tenant in tenants
        ]
        at_once = len(tenants) if are_together else 1
        records = [blocks[at : at + at_once] for at in range(0, len(blocks), at_once)]
        # Halfway a restart, after which both are found again.
        found = [one for record in records[: len(records) // 2] for one in scores.feed(record)]
        again = PartitionScores(ScoresConfig(rules))
        assert again.restore(scores.snapshot()) is None
        found += [one for record in records[len(records) // 2 :] for one in again.feed(record)]
        assert again.n_series().total() == len(tenants)
        return rows_of([one for one in found if one.tenant == "victim"])

    assert scored("evil", "victim") == scored("victim")
    assert len(scored("victim")) == 300


def test_an_announcement_is_no_other_tenants() -> None:
    scores = PartitionScores(ScoresConfig())
    block = rollups([7], [0], [1.0])
    scores.announce(announced({7: "load"}))

    assert scores.n_unknown([block]) == 0
    assert scores.n_unknown([replace(block, tenant="other")]) == 1


def test_ids_made_for_one_place_of_the_index_are_spread() -> None:
    """Else each look-up would be a walk over all of them."""
    table = SeriesTable()
    new = np.zeros(2_000, dtype=SERIES)
    new["series_id"] = np.arange(1, 2_001, dtype=np.uint64) << np.uint64(30)

    table.add(new)

    taken = np.flatnonzero(table._index >= 0)
    assert np.diff(np.flatnonzero(np.diff(taken) > 1)).max() < 100


def test_series_of_another_layout_are_learned_anew() -> None:
    """Such as that of version 1, which knew no tenants."""
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced({7: "load"}))
    state = msgspec.structs.replace(scores.snapshot(), layout=1)

    again = PartitionScores(ScoresConfig())
    lost = again.restore(state)

    assert lost == "series of layout 1, this build knows 3"
    assert again.needs_announcements(state)
    assert again.n_unknown([rollups([7], [0], [1.0])]) == 1

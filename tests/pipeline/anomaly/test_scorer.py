"""The anomaly engine: what it says of series whose answer is known."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.anomaly.reasons import Reason
from pipeline.anomaly.rules import Direction, Rule
from pipeline.anomaly.scorer import Scorer, UnknownVersion
from pipeline.anomaly.scores import Scores

START_S = 1_800_000_000.0
STEP_S = 300.0


def times(n: int, step_s: float = STEP_S) -> NDArray[np.float64]:
    return START_S + step_s * np.arange(n, dtype=np.float64)


def noise(n: int, seed: int = 1) -> NDArray[np.float64]:
    """A level of 100 with noise of 1."""
    return 100 + np.random.default_rng(seed).standard_normal(n)


def score(values: NDArray[np.float64], rule: Rule | None = None) -> Scores:
    """Return the scores of one series, in one call."""
    scorer = Scorer([rule or Rule()])
    scorer.grow(1)
    return scorer.update(np.zeros(len(values), dtype=np.int64), times(len(values)), values)


def test_a_spike_is_an_alarm_and_quiet_is_none() -> None:
    values = noise(2000)
    values[1500] = 160

    scores = score(values)

    assert list(np.flatnonzero(scores.alarm > 1)) == [1500]
    assert scores.lower[1500] < scores.expected[1500] < scores.upper[1500] < 160


def test_a_repeat_is_no_alarm() -> None:
    values = noise(2000)
    values[[1500, 1501, 1520]] = 140, 140, 140

    scores = score(values)

    assert list(np.flatnonzero(scores.alarm > 1)) == [1500]
    assert scores.score[1501] > 0


@pytest.mark.parametrize(
    ("direction", "rows"),
    [(Direction.ABOVE, [1500]), (Direction.BELOW, [1700]), (Direction.BOTH, [1500, 1700])],
)
def test_only_the_direction_of_the_rule_counts(direction: Direction, rows: list[int]) -> None:
    values = noise(2000)
    values[[1500, 1700]] = 160, 40

    scores = score(values, Rule(direction=direction))

    assert list(np.flatnonzero(scores.alarm > 1)) == rows


@pytest.mark.parametrize("rule", [Rule(least_absolute=70), Rule(least_relative=0.7)])
def test_a_deviation_below_the_least_does_not_count(rule: Rule) -> None:
    values = noise(2000)
    values[[1500, 1700]] = 160, 180

    scores = score(values, rule)

    assert list(np.flatnonzero(scores.score > 1)) == [1700]


def test_a_series_is_learned_before_it_has_scores() -> None:
    scores = score(noise(400), Rule(least_windows=300))

    assert not scores.score[:300].any()
    assert (scores.reason[:300] == Reason.LEARNING).all()
    # Three more windows after this one, 300 s each.
    assert scores.learning_s[297] == pytest.approx(900)
    assert not scores.learning_s[300:].any()


@pytest.mark.parametrize("value", [0.0, 5.0, -3e15, 1e-300])
def test_a_constant_series_has_no_alarm(value: float) -> None:
    scores = score(np.full(3000, value))

    assert not scores.score.any()
    assert (scores.expected == value).all()


def test_what_is_no_number_is_neither_judged_nor_learned() -> None:
    values = noise(500)
    holes = values.copy()
    holes[300:310] = np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan

    scores = score(holes)

    assert not scores.score[300:310].any()
    assert np.isnan(scores.expected[300:310]).all()
    assert np.isfinite(scores.expected[310:]).all()


def test_scores_do_not_depend_on_the_unit() -> None:
    values = np.round(noise(2000) * 64) / 64
    values[1500] = 160

    plain, scaled = score(values), score(values * 1024)

    np.testing.assert_allclose(plain.score, scaled.score, rtol=1e-4, atol=1e-4)


def test_scores_of_what_may_be_below_zero_do_not_depend_on_the_origin() -> None:
    values = np.round(noise(2000) * 64) / 64 - 100
    values[1500] = 60

    plain, moved = score(values), score(values * 1024 - 2**20)

    np.testing.assert_allclose(plain.score, moved.score, rtol=1e-4, atol=1e-4)


def test_scores_of_a_prefix_are_a_prefix_of_the_scores() -> None:
    values = noise(1000)

    whole, prefix = score(values), score(values[:700])

    for name in ("score", "alarm", "expected", "lower", "upper", "reason", "learning_s"):
        np.testing.assert_array_equal(getattr(whole, name)[:700], getattr(prefix, name))


def test_many_series_in_any_order_are_as_each_alone() -> None:
    """Series share calls; a restart from a snapshot lies between two of them."""
    n_series, n = 5, 400
    values = np.stack([noise(n, seed) for seed in range(n_series)])
    alone = [score(one) for one in values]
    scorer = Scorer()
    scorer.grow(n_series)
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(n_series), n))
    at = np.zeros(len(order), dtype=np.int64)
    for series in range(n_series):
        at[order == series] = np.arange(n)

    half = len(order) // 2
    first = scorer.update(order[:half], times(n)[at[:half]], values[order, at][:half])
    restored = Scorer()
    restored.restore(scorer.snapshot())
    second = restored.update(order[half:], times(n)[at[half:]], values[order, at][half:])

    got = np.concatenate([first.score, second.score])
    for series in range(n_series):
        np.testing.assert_array_equal(got[order == series], alone[series].score)


def test_an_evicted_slot_is_that_of_a_new_series() -> None:
    scorer = Scorer()
    scorer.grow(2)
    slots = np.repeat([0, 1], 300)
    scorer.update(slots, np.tile(times(300), 2), np.tile(noise(300), 2))

    scorer.evict(np.array([0]))

    assert list(scorer.last_times_s()) == [0, times(300)[-1]]
    again = scorer.update(slots[:300], times(300), noise(300, 2))
    np.testing.assert_array_equal(again.score, score(noise(300, 2)).score)


def test_growing_keeps_the_models() -> None:
    scorer = Scorer()
    scorer.grow(1)
    slots = np.zeros(300, dtype=np.int64)
    scorer.update(slots, times(300), noise(300))

    scorer.grow(1000)

    assert len(scorer) == 1000
    assert scorer.last_times_s()[0] == times(300)[-1]
    assert scorer.n_bytes() <= 1000 * 1536


def test_a_snapshot_of_another_version_is_refused() -> None:
    scorer = Scorer()
    scorer.grow(3)
    state = scorer.snapshot()

    with pytest.raises(UnknownVersion, match="version 257"):
        scorer.restore(b"\x01\x01" + state[2:])
    with pytest.raises(ValueError, match="cannot be 3 anomaly models"):
        scorer.restore(state[:-1])
    with pytest.raises(ValueError, match="5 bytes are no"):
        scorer.restore(b"12345")


def test_a_slot_that_is_not_there_is_refused() -> None:
    scorer = Scorer()
    scorer.grow(2)

    with pytest.raises(ValueError, match="slots 0 to 2: there are 2"):
        scorer.update(np.array([0, 2]), times(2), np.zeros(2))


def test_a_rule_that_is_not_there_is_refused() -> None:
    scorer = Scorer([Rule(), Rule(direction=Direction.BELOW)])
    scorer.grow(2)
    scorer.set_rules(np.array([1]), np.array([1]))

    with pytest.raises(ValueError, match="a series refers to rule 1"):
        scorer.replace_rules([Rule()])
    with pytest.raises(ValueError, match="there are 2"):
        scorer.set_rules(np.array([0]), np.array([2]))


@pytest.mark.parametrize("field", ["least_absolute", "least_relative", "least_windows", "least_s"])
def test_a_rule_below_zero_is_refused(field: str) -> None:
    below: dict[str, Any] = {field: -1}

    with pytest.raises(ValueError, match=f"{field}=-1"):
        Rule(**below)

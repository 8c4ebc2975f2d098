"""What the model does with series that make people on call distrust a detector."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.anomaly.parameters import SHIPPED
from pipeline.anomaly.reasons import Reason
from pipeline.anomaly.rules import Direction, Rule
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores

MONDAY_S = 1_767_571_200.0  # 2026-01-05 00:00 UTC
MINUTE_S = 60.0
DAY = 1440

Floats = NDArray[np.float64]


def minutes(n: int) -> Floats:
    return MONDAY_S + MINUTE_S * np.arange(n, dtype=np.float64)


def noise(n: int, seed: int = 1) -> Floats:
    """A level of 100 with noise of 1."""
    return 100 + np.random.default_rng(seed).standard_normal(n)


def score(values: Floats, times_s: Floats | None = None, rule: Rule | None = None) -> Scores:
    scorer = Scorer([rule or Rule()])
    scorer.grow(1)
    at = minutes(len(values)) if times_s is None else times_s
    return scorer.update(np.zeros(len(values), dtype=np.int64), at, values)


def anomalous(scores: Scores) -> list[int]:
    return np.flatnonzero(scores.score > 1).tolist()


def test_a_level_shift_is_told_once_and_becomes_normal() -> None:
    """One alarm; no score above 1 after six hours; expected after three times level_windows."""
    shift = 4 * DAY
    values = noise(6 * DAY)
    values[shift:] += 30

    scores = score(values)

    later = np.flatnonzero(scores.alarm[shift:] > 1)
    assert later.tolist() == [0]
    assert max(anomalous(scores)) < shift + 360
    settled = shift + int(3 * SHIPPED.level_windows)
    assert np.abs(scores.expected[settled:] - 130).max() < 4
    assert (values < scores.upper)[settled:].all()


def test_a_fall_counts_as_a_ratio_where_nothing_is_below_zero() -> None:
    """Traffic between 50 and 200, all day, falls to 2: below what half an hour of a day reaches.

    As a difference that is no further than each high is. The same series with its origin moved
    below zero has no ratios, so there it is none.
    """
    rng = np.random.default_rng(5)
    values = 100 * np.exp(np.clip(rng.normal(0, 0.35, 4 * DAY), -0.7, 0.7))
    fall = 3 * DAY + 600
    values[fall : fall + 5] = 2

    traffic, moved = score(values), score(values - 1000)

    assert traffic.alarm[fall] > 1
    assert traffic.reason[fall] == Reason.RANGE
    assert 2 < traffic.lower[fall] < 50
    assert fall not in anomalous(moved)


def test_an_anomaly_does_not_poison_the_model() -> None:
    """An hour far away: a minute later the usual is expected; the band narrows in days."""
    start = 4 * DAY
    values = noise(7 * DAY)
    values[start : start + 60] += 30

    scores, calm = score(values), score(noise(7 * DAY))

    assert np.abs(scores.expected[start + 61 : start + DAY] - 100).max() < 6
    assert np.abs(scores.expected[start + 120 : start + DAY] - 100).mean() < 0.5
    band = (scores.upper - scores.lower) / (calm.upper - calm.lower)
    assert np.median(band[start + 2 * DAY :]) < 1.1
    assert band[-60:].max() < 1.1
    # Another kind of anomaly a day later is found.
    values[start + DAY] = 30
    assert start + DAY in anomalous(score(values))


@pytest.mark.parametrize("height", [1e3, 1e6, 1e60, 1e300])
@pytest.mark.parametrize("later", [60, DAY])
def test_one_spike_does_not_deafen_the_model(height: float, later: int) -> None:
    """It is anomalous itself, and so is half an hour at 30 times the noise after it."""
    spike = 4 * DAY
    values = noise(6 * DAY)
    values[spike] = height
    incident = slice(spike + later, spike + later + 30)
    values[incident] += 30

    scores = score(values)

    assert scores.score[spike] > 1
    assert scores.score[incident].max() > 1
    assert np.isfinite(scores.lower).all()
    assert np.isfinite(scores.upper).all()


def test_what_grows_bit_by_bit_is_told_at_each_four_times() -> None:
    """By 1.3 each quarter of an hour: at 1, 3.7, 17.9 and 86.5 times the first height."""
    first = 4 * DAY
    values = noise(5 * DAY)
    for at in range(20):
        values[first + 15 * at] += 10 * 1.3**at

    alarms = score(values).alarm[first : first + 300 : 15]

    heights = 1.3 ** np.flatnonzero(alarms > 1)
    assert heights[0] == 1
    assert len(heights) == 4
    assert (heights[1:] / heights[:-1] > 3.5).all()


@pytest.mark.parametrize("bad", [1e4, 1e6])
def test_a_bad_value_among_the_first_blinds_no_model(bad: float) -> None:
    """The hundredth value is one of another unit; a day later thirty times the noise is told."""
    values = noise(2 * DAY)
    values[100] = bad
    values[DAY : DAY + 30] += 30

    assert score(values).alarm[DAY] > 1


def test_a_clock_that_went_back_leaves_no_series_learning_or_deaf() -> None:
    """Rows newest first have scores, and an alarm of next month is no reason for silence now."""
    values = noise(4 * DAY)
    values[[3000, 4500]] = 150
    times_s = minutes(4 * DAY)
    ahead_s = times_s.copy()
    ahead_s[3000] += 30 * 86_400

    backwards, ahead = score(values, times_s[::-1]), score(values, ahead_s)

    assert (backwards.reason[int(SHIPPED.warm) :] != Reason.LEARNING).all()
    assert (ahead.alarm[[3000, 4500]] > 1).all()


def test_what_stops_after_an_alarm_is_told() -> None:
    """It is other trouble than what was told an hour before."""
    values = noise(5 * DAY)
    at = 4 * DAY
    values[at] = 150
    values[at + 60 : at + 200] = 100.0

    scores = score(values)

    stopped = at + 60 + int(SHIPPED.stop_least)
    assert scores.alarm[at] > scores.alarm[stopped] > 1
    assert scores.reason[stopped] == Reason.STOPPED


def test_noisy_traffic_that_ends_is_told_within_half_an_hour() -> None:
    """So noisy that a single window of nothing is within what is usual."""
    values = 100 * np.random.default_rng(1).gamma(2, 0.5, 4 * DAY)
    end = 3 * DAY
    values[end : end + 100] = 0

    alarms = np.flatnonzero(score(values).alarm[end : end + 100] > 1)

    assert alarms.min(initial=100) <= SHIPPED.stop_least


def test_what_gets_hardly_worse_is_told_once() -> None:
    """At 4.5 times the noise, and at 5 a minute later: a higher score, and the same trouble."""
    values = noise(5 * DAY)
    at = 4 * DAY
    values[at : at + 2] = 104.5, 105

    scores = score(values)

    assert 1 < scores.score[at] < scores.score[at + 1] < SHIPPED.escalation * scores.score[at]
    assert scores.alarm[at : at + 2].tolist() == [scores.score[at], 0]


def test_what_gets_worse_is_told_again() -> None:
    """At 30, 3,000 and 1,000,000 times the noise, an hour apart, within one refractory."""
    first = 4 * DAY
    values = noise(5 * DAY)
    for at, height in ((0, 30), (60, 3e3), (120, 1e6), (180, 3e3)):
        values[first + at : first + at + 10] += height

    alarms = score(values).alarm

    told = [at for at in (0, 60, 120, 180) if alarms[first + at : first + at + 10].max() > 1]
    assert told == [0, 60, 120]


@pytest.mark.parametrize("gap", [10, 60, 360])
def test_a_gap_by_itself_is_no_anomaly(gap: int) -> None:
    """Of series without a season, few are anomalous in the hour behind it."""
    n, n_series = 3 * DAY, 100
    rng = np.random.default_rng(7)
    scorer = Scorer()
    scorer.grow(n_series)
    slots = np.arange(n_series)
    times = minutes(n)
    times[-60:] += gap * MINUTE_S
    is_anomalous = np.zeros(n_series, dtype=np.bool_)

    for at in range(n):
        values = 100 + rng.standard_normal(n_series)
        found = scorer.update(slots, np.full(n_series, times[at]), values)
        if at >= n - 60:
            is_anomalous |= found.score > 1

    assert is_anomalous.mean() <= 0.08


def test_a_season_goes_on_after_a_gap_of_days() -> None:
    """The clock decides what is expected, not the number of windows."""
    times_s = minutes(6 * DAY)
    times_s[4 * DAY :] += 3.3 * 86_400
    rng = np.random.default_rng(2)
    season = 20 * np.sin(2 * np.pi * (times_s - MONDAY_S) / 86_400)
    values: Floats = 100 + season + rng.standard_normal(len(times_s))

    scores = score(values, times_s)

    assert anomalous(scores) == []
    assert np.abs(scores.expected - values)[4 * DAY + 60 :].mean() < 5


@pytest.mark.parametrize(
    ("kind", "per_1000"), [("rare", 1.0), ("counts", 1.5), ("tiny", 0.1), ("switch", 0.5)]
)
def test_counts_and_numbers_near_zero_have_few_alarms(kind: str, per_1000: float) -> None:
    rng = np.random.default_rng(3)
    shape = (12, 2 * DAY)
    many = {
        "rare": rng.poisson(0.05, shape) * 1.0,
        "counts": rng.poisson(3, shape) * 1.0,
        "tiny": 1e-13 * rng.standard_normal(shape),
        "switch": (rng.random(shape) < 0.001) * 1.0,
    }[kind]

    n_alarms = sum(int((score(values).alarm > 1).sum()) for values in many)

    assert 1000 * n_alarms / many.size <= per_1000


def test_a_line_that_stops_changing_is_told_once() -> None:
    """An hour after its last change; the next such run has to be ten times as long."""
    values = noise(3 * DAY)
    values[1 * DAY : 1 * DAY + 500] = 100.0
    values[2 * DAY : 2 * DAY + 500] = 100.0

    scores = score(values)

    stopped = np.flatnonzero(scores.reason == Reason.STOPPED).tolist()
    assert stopped == [DAY + int(SHIPPED.stop_least)]
    assert scores.alarm[stopped[0]] == pytest.approx(1.05)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(sensitivity=0.5),
        Rule(least_absolute=10.0),
        Rule(least_relative=0.2),
        Rule(direction=Direction.ABOVE),
        Rule(direction=Direction.BELOW),
    ],
)
def test_rules_on_size_and_side_do_not_concern_a_line_that_has_stopped(rule: Rule) -> None:
    """It is off by nothing, on no side; a rule of its own leaves it out."""
    values = noise(3 * DAY)
    values[DAY : DAY + 100] = 100.0
    at = DAY + int(SHIPPED.stop_least)

    told, silent = score(values, rule=rule), score(values, rule=replace(rule, stopped=False))

    assert (told.reason[at], told.alarm[at]) == (Reason.STOPPED, pytest.approx(1.05))
    assert Reason.STOPPED not in silent.reason
    assert silent.score[at] < 1


def test_a_series_that_never_moved_has_not_stopped() -> None:
    values = np.full(2 * DAY, 7.0)
    values[:3] = 6.0

    assert anomalous(score(values)) == []


def test_sensitivity_scales_scores() -> None:
    values = noise(500)

    plain, half = score(values), score(values, rule=Rule(sensitivity=0.5))

    np.testing.assert_allclose(half.score, plain.score / 2, rtol=1e-6)

"""One window of one series through its model: score, alarm, band and reason, compiled."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.anomaly.distance import Away, away_of, band_of, far_of, learn_spreads, tiny_of
from pipeline.anomaly.model import (
    bin_novelty,
    day_base,
    has_stopped,
    hour_of,
    kind_base,
    kind_of,
    learn_season,
    note_step,
    pair_novelty,
    within_reach,
)
from pipeline.anomaly.parameters import Parameters
from pipeline.anomaly.rules import RuleRow
from pipeline.anomaly.state import Model

# Codes of pipeline.anomaly.reasons, as plain numbers for compiled code.
_LEARNING, _LEVEL, _RANGE, _PATTERN, _DRIFT, _STOPPED = 1, 2, 3, 4, 5, 6
# Anomalous, and no more: a line that has stopped has no size.
_STOP_SCORE = 1.05
_HIGHER = 1.0000001
# A distance so many times that at which its part of the score is full.
_ESCALATES_FROM = 8.0


@njit(inline="always")
def learning_left_s(model: Model, time_s: float, rule: RuleRow, constants: Parameters) -> Any:
    """Return the event time until there is a score, 0 if there is one.

    inf for the first window: how far apart they are is not known.
    """
    if model.n == 0:
        return np.inf
    n_left = max(constants.warm, rule.least_windows) - model.n
    young_s = rule.least_s - (time_s - model.born_s) if rule.least_s > 0 else 0.0
    return max(n_left * model.step_s, young_s, 0.0)


@njit(inline="always")
def is_counted(distance: float, expected: float, rule: RuleRow) -> Any:
    """Tell whether the rule lets this distance from the expected value count."""
    least = max(rule.least_absolute, rule.least_relative * abs(expected))
    side = 1 if distance > 0 else 2
    return abs(distance) >= least and (rule.direction & side) != 0


@njit(inline="always")
def alarm_of(
    model: Model, score: float, distance: float, time_s: float, constants: Parameters
) -> float:
    """Return the score if it is the highest of the refractory or an escalation, else 0.

    distance: of the value from what is expected.
    """
    if model.peak > 0 and abs(time_s - model.alarm_s) > constants.refractory_s:
        model.peak = 0.0
    least = model.peak * (constants.escalation if model.peak > 1.0 else _HIGHER)
    is_farther = score > 1.0 and distance > constants.farther * model.alarm_far
    if score <= least and not is_farther:
        return 0.0
    model.peak = max(score, model.peak)
    model.alarm_far = distance
    model.alarm_s = time_s
    return score


@njit(inline="always")
def _square(ratio: float, cap: float) -> float:
    capped = min(ratio, cap)
    return capped * capped


@njit(inline="always")
def escalation_of(far: float, constants: Parameters) -> Any:
    """Return what a distance adds to an anomalous score whose parts tell no more of it.

    So what gets worse within the refractory is an alarm again: 0.2 for each doubling.
    """
    beyond = far / (_ESCALATES_FROM * constants.level_unit * constants.fast_cap)
    return 0.2 * np.log2(beyond) if beyond > 1.0 else 0.0


@njit(inline="always")
def step(
    model: Model, time_s: float, value: float, rule: RuleRow, constants: Parameters
) -> tuple[float, float, float, float, float, int, float]:
    """Judge a finite value by the model, then learn it.

    Returns score, alarm, expected, lower, upper, reason and learning_s of Scores.
    """
    n = model.n
    if n == 0:
        model.origin = value
        model.born_s = time_s
    seen = value - model.origin
    x = within_reach(model, seen, constants)
    hour, kind = hour_of(time_s), kind_of(time_s)
    step_s = note_step(model, time_s)
    tiny = tiny_of(model.level + model.origin)
    width = model.high - model.low + tiny
    # Level
    day = day_base(model, hour, constants)
    of_kind = kind_base(model, kind, day, constants)
    away = away_of(model, x, day)
    far = far_of(model, away, tiny) if n > 1 else 0.0
    lower, upper = band_of(model, day, tiny, constants)
    expected = day if abs(away.season) < abs(away.level) else model.level
    new_pair = pair_novelty(model, x, width, constants) if n > 0 else 0.0
    rate = max(1.0 / max(n, 1), 1.0 / constants.level_windows)
    model.level += max(1.0 / (n + 1), 1.0 / constants.level_windows) * away.level
    new_bin = bin_novelty(model, x, width, constants)
    # Season
    drift = 0.0
    if n > 0:
        # A gap lets the drift fade, and gives the value after it no more weight than another.
        usual_s = min(step_s, 2.0 * model.step_s)
        model.drift *= 1.0 - min(1.0, step_s / constants.smooth_s)
        model.drift += (x - of_kind) * min(1.0, usual_s / constants.smooth_s)
        drift = abs(model.drift) / (np.sqrt(model.drift_square) + tiny) if n > 1 else 0.0
    factor = max(1.0, model.step_s / 300.0) ** constants.coarse
    if (x - model.last) * away.level < 0:
        factor *= constants.fall
    factor *= min(new_pair / constants.gate, 1.0)
    fast = factor * (
        _square(far / constants.level_unit, constants.fast_cap)
        + _square(new_pair / constants.pair_unit, constants.fast_cap)
    )
    if fast > 1.0:
        raw = Away(away.level + seen - x, away.season + seen - x, away.fall_level, away.fall_season)
        fast += escalation_of(far_of(model, raw, tiny), constants)
    of_bin = _square(new_bin / constants.bin_unit, constants.slow_cap)
    of_drift = _square(drift / constants.drift_unit, constants.slow_cap)
    slow = of_bin + of_drift
    stopped = has_stopped(model, x, constants)
    score = rule.sensitivity * max(fast, slow)
    reason = 0
    if score > 1.0:
        reason = _LEVEL if fast >= slow else (_DRIFT if of_drift > of_bin else _PATTERN)
        if reason == _LEVEL and not model.low <= seen <= model.high:
            reason = _RANGE
    learning_s = learning_left_s(model, time_s, rule, constants)
    if learning_s > 0:
        score, reason = 0.0, _LEARNING
    else:
        distance = seen - expected if fast >= slow else model.drift
        if not is_counted(distance, expected + model.origin, rule):
            score, reason = 0.0, 0
        # It has no size and no side: what a rule says of these is not about it.
        if stopped and rule.stopped and score < _STOP_SCORE:
            score, reason = _STOP_SCORE, _STOPPED
    alarm = alarm_of(model, score, abs(seen - expected), time_s, constants)
    # Told once in a run, and other trouble than what may have been told before.
    alarm = score if reason == _STOPPED else alarm
    # Learn
    model.high = max(x, model.high + constants.leak * (model.level - model.high))
    model.low = min(x, model.low + constants.leak * (model.level - model.low))
    learn_spreads(model, away, rate)
    if n > 0:
        drift_rate = max(1.0 / n, 1.0 / constants.drift_windows)
        model.drift_square += drift_rate * (model.drift * model.drift - model.drift_square)
    learn_season(model, x, time_s, hour, kind, constants)
    model.last = x
    model.time_s = time_s
    model.n = n + 1
    origin = model.origin
    return score, alarm, expected + origin, lower + origin, upper + origin, reason, learning_s


@njit(cache=True)
def update(
    models: Any,
    slots: NDArray[np.int64],
    times_s: NDArray[np.float64],
    values: NDArray[np.float64],
    rules: Any,
    constants: Parameters,
    numbers: NDArray[np.float64],
    reasons: NDArray[np.uint8],
) -> None:
    """Fill one row of numbers (score, alarm, expected, lower, upper, learning_s) a window."""
    for i in range(len(slots)):
        model = models[slots[i]]
        if not np.isfinite(values[i]):
            numbers[i, 2:5] = np.nan
            continue
        rule = rules[model.rule]
        score, alarm, expected, lower, upper, reason, learning_s = step(
            model, times_s[i], values[i], rule, constants
        )
        numbers[i, 0] = score
        numbers[i, 1] = alarm
        numbers[i, 2] = expected
        numbers[i, 3] = lower
        numbers[i, 4] = upper
        numbers[i, 5] = learning_s
        reasons[i] = reason

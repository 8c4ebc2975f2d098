"""How one window changes a series' model, and how anomalous the window is, compiled.

Pair and level: a window is anomalous if it is far from its level and its hour's mean AND the pair
of it and the window before is new, or if the pattern of the last windows is new AND they are far
from the season. Every part is judged by the model as it was before the window.
"""

from typing import Any

import numpy as np
from numba import njit

from pipeline.anomaly.parameters import N_BINS, N_PAIRS, Parameters
from pipeline.anomaly.state import HOURS, LOW_BITS, Model

HOUR_S = 3600.0
_FIRST_STEP_S = 300.0
# Well within 32 bits, sums of it too.
_LARGEST = 1e30
_TO_MONDAY = 72  # hours from the Monday before 1970 to 1970
_SATURDAY = 5
_NO_TIE = 1 + 1e-5


@njit(inline="always")
def within_reach(model: Model, x: float, constants: Parameters) -> Any:
    """Return a value no further out of the range than so many times its width.

    It is as anomalous as one further out, but one spike does not widen the range for days. The
    first move of a constant is taken as it is.
    """
    if model.n < constants.settled or model.high == model.low:
        return min(max(x, -_LARGEST), _LARGEST)
    reach = constants.reach * (model.high - model.low)
    return min(max(x, model.low - reach), model.high + reach)


@njit(inline="always")
def hour_of(time_s: float) -> int:
    """Return the hour of the day in UTC."""
    return int(np.floor(time_s / HOUR_S)) % HOURS


@njit(inline="always")
def kind_of(time_s: float) -> int:
    """Return the hour of the day in UTC, HOURS more on Saturday and Sunday."""
    hours = int(np.floor(time_s / HOUR_S)) + _TO_MONDAY
    return hours % HOURS + (HOURS if hours // HOURS % 7 >= _SATURDAY else 0)


@njit(inline="always")
def note_step(model: Model, time_s: float) -> Any:
    """Return the time since the window before, and learn what is usual."""
    if model.n == 0:
        model.step_s = _FIRST_STEP_S
        return _FIRST_STEP_S
    step_s = max(time_s - model.time_s, 1.0)
    usual = model.step_s
    if model.n == 1:
        model.step_s = step_s
    else:
        model.step_s = min(step_s, usual * 1.02) if step_s > usual else max(step_s, usual / 1.02)
    return step_s


@njit(inline="always")
def pair_novelty(model: Model, value: float, width: float, constants: Parameters) -> Any:
    """Return how far the pair of this value and the last is from all pairs seen, and learn it."""
    n = model.n
    x = np.float32(value)
    last = model.last
    near, old, at, oldest, longest = np.float32(np.inf), np.float32(np.inf), 0, 0, -1
    for j in range(model.n_pairs):
        distance = abs(model.pair_now[j] - x) + abs(model.pair_last[j] - last)
        if distance < near:
            near, at = distance, j
        if ((n - model.pair_born[j]) & LOW_BITS) > constants.young and distance < old:
            old = distance
        unused = (n - model.pair_used[j]) & LOW_BITS
        if unused > longest:
            oldest, longest = j, unused
    if near > 2.0 * width * constants.radius:
        if model.n_pairs < N_PAIRS:
            oldest = model.n_pairs
            model.n_pairs += 1
        model.pair_now[oldest] = x
        model.pair_last[oldest] = last
        model.pair_born[oldest] = n & LOW_BITS
        at = oldest
    else:
        model.pair_now[at] += constants.learning * (x - model.pair_now[at])
        model.pair_last[at] += constants.learning * (last - model.pair_last[at])
    model.pair_used[at] = n & LOW_BITS
    return old / (2.0 * width) if old < np.inf else 0.0


@njit(inline="always")
def _match_bin(model: Model, width: float, constants: Parameters) -> Any:
    """Return how far a finished bin is from all bins seen, and learn it."""
    spread = model.bin_high - model.bin_low
    near, at, oldest, longest = np.float32(np.inf), 0, 0, -1
    for j in range(model.n_protos):
        distance = (
            abs(model.proto_value[j] - model.bin_value)
            + abs(model.proto_before[j] - model.bin_before)
            + abs(model.proto_range[j] - spread)
        )
        if distance < near:
            near, at = distance, j
        unused = (model.n_bins - model.proto_used[j]) & LOW_BITS
        if unused > longest:
            oldest, longest = j, unused
    rate = constants.learning
    if near > 2.0 * width * constants.radius:
        rate, at = 1.0, oldest
        if model.n_protos < N_BINS:
            at = model.n_protos
            model.n_protos += 1
    model.proto_value[at] += rate * (model.bin_value - model.proto_value[at])
    model.proto_before[at] += rate * (model.bin_before - model.proto_before[at])
    model.proto_range[at] += rate * (spread - model.proto_range[at])
    model.proto_used[at] = model.n_bins & LOW_BITS
    return near / (2.0 * width) if near < np.inf else 0.0


@njit(inline="always")
def bin_novelty(model: Model, value: float, width: float, constants: Parameters) -> Any:
    """Add a value to the bin; where that finishes it, return how new it is, else 0."""
    if model.bin_n == 0:
        model.bin_value = model.bin_low = model.bin_high = value
    # The second window of a series ties with the first: the level is their mean.
    elif abs(value - model.level) > _NO_TIE * abs(model.bin_value - model.level):
        model.bin_value = value
    model.bin_low = min(model.bin_low, value)
    model.bin_high = max(model.bin_high, value)
    model.bin_n += 1
    if model.bin_n < constants.bin_windows:
        return 0.0
    model.bin_n = 0
    model.n_bins += 1
    novelty = _match_bin(model, width, constants) if model.n_bins > 1 else 0.0
    model.bin_before = model.bin_value
    return novelty


@njit(inline="always")
def day_base(model: Model, hour: int, constants: Parameters) -> Any:
    """Return what is usual at this hour of the day, the level where that is not known."""
    return model.day[hour] if model.day_visits[hour] >= constants.visits else model.level


@njit(inline="always")
def kind_base(model: Model, kind: int, base: float, constants: Parameters) -> Any:
    """Return what is usual at this hour of such a day, the base where that is not known."""
    return model.kind[kind] if model.kind_visits[kind] >= constants.visits else base


@njit(inline="always")
def learn_season(
    model: Model, value: float, time_s: float, hour: int, kind: int, constants: Parameters
) -> None:
    """Move the means of the hour, on all days and on such days, towards a value.

    A mean of the first visits by time, later one that forgets. How much of an hour a mean has seen
    follows from its visits and from the time within this one.
    """
    hours = time_s / HOUR_S
    share = min(model.step_s / HOUR_S, 1.0)
    seen = min(hours - np.floor(hours) + share, 1.0)
    if model.n == 0 or np.floor(hours) != np.floor(model.time_s / HOUR_S):
        model.day_visits[hour] = min(model.day_visits[hour] + 1, 255)
        model.kind_visits[kind] = min(model.kind_visits[kind] + 1, 255)
        if model.day_visits[hour] == 1:
            model.day[hour] = value
        if model.kind_visits[kind] == 1:
            model.kind[kind] = value
    of_day = min(model.day_visits[hour] - 1 + seen, 1.0 / constants.hour_rate)
    of_kind = min(model.kind_visits[kind] - 1 + seen, 1.0 / constants.hour_rate)
    model.day[hour] += min(share / of_day, 1.0) * (value - model.day[hour])
    model.kind[kind] += min(share / of_kind, 1.0) * (value - model.kind[kind])


@njit(inline="always")
def has_stopped(model: Model, value: float, constants: Parameters) -> Any:
    """Tell once in a run of equal values that it is long for this series, and learn it.

    Each such run makes the next one that is told some ten times as long.
    """
    if model.n == 0 or np.float32(value) != model.last:
        model.longest_run = max(model.longest_run, model.run)
        model.run = 0
        return False
    model.run = min(model.run + 1, LOW_BITS)
    usual = constants.stop_factor * (model.longest_run + 1)
    has_moved = model.n - model.run >= constants.warm
    return has_moved and model.run == int(max(usual, constants.stop_least))

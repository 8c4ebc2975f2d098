"""Perturbed copies of labelled series: a model that generalises judges them as it did the first."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ops.bench.anomaly.corpora import LabelledSeries

# A copy keeps this many rows before the first that is scored, and is not halved below.
_LEAST_LEARNED = 40
_LEAST_HALVED = 3_000
_NOISE = 0.1
_MOVE_S = 86_400 * 2 + 7 * 3_600.0

Perturb = Callable[[LabelledSeries, np.random.Generator], LabelledSeries]


def as_it_is(series: LabelledSeries, rng: np.random.Generator) -> LabelledSeries:
    """Return the series itself."""
    del rng
    return series


def later_start(series: LabelledSeries, rng: np.random.Generator) -> LabelledSeries:
    """Leave out some rows before the first that is scored."""
    most = max(min(series.scored_from - _LEAST_LEARNED, len(series.values) // 20), 1)
    cut = int(rng.integers(most // 2, most + 1))
    return replace(
        series,
        times_s=series.times_s[cut:],
        values=series.values[cut:],
        windows=np.maximum(series.windows - cut, 0),
        scored_from=series.scored_from - cut,
    )


def halved(series: LabelledSeries, rng: np.random.Generator) -> LabelledSeries:
    """Take the mean of two rows for one, where there are many."""
    del rng
    n = len(series.values) // 2
    if 2 * n < _LEAST_HALVED:
        return series
    return replace(
        series,
        times_s=series.times_s[: 2 * n : 2],
        values=series.values[: 2 * n].reshape(n, 2).mean(axis=1),
        windows=np.minimum(series.windows // 2, n - 1),
        scored_from=series.scored_from // 2,
    )


def noisy(series: LabelledSeries, rng: np.random.Generator) -> LabelledSeries:
    """Add noise of a tenth of what neighbours usually differ by."""
    usual = np.median(np.abs(np.diff(series.values[: series.scored_from])))
    noise = _NOISE * usual * rng.standard_normal(len(series.values))
    return replace(series, values=series.values + noise)


def moved_clock(series: LabelledSeries, rng: np.random.Generator) -> LabelledSeries:
    """Move the clock by days and hours, and the values' origin and unit."""
    factor = float(rng.uniform(0.1, 10.0))
    offset = float(np.median(series.values[: series.scored_from])) * 2.0
    return replace(
        series, times_s=series.times_s + _MOVE_S, values=(series.values + offset) * factor
    )


def both(first: Perturb, second: Perturb) -> Perturb:
    """Perturb in two ways."""
    return lambda series, rng: second(first(series, rng), rng)


PERTURBATIONS: dict[str, Perturb] = {
    "as it is": as_it_is,
    "later start, noise": both(later_start, noisy),
    "halved; another clock, origin and unit": both(halved, moved_clock),
}

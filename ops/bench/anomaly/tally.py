"""Figures of both corpora at many thresholds at once, additive over files.

NAB (Lavin and Ahmad 2015): the earliest alarm in a window earns by how early it is, alarms outside
cost by how long after a window they come. Cloud: F1 of segments found in their first rows, each
once (event) or by its rows (delay), against all alarms outside.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ops.bench.anomaly.corpora import LabelledSeries

# Costs of a false alarm and of a missed window, in the reward of the earliest alarm possible.
PROFILES = {"standard": (0.11, 1.0), "low_fp": (0.22, 1.0), "low_fn": (0.11, 2.0)}
FIGURES = (*PROFILES, "event_f1", "delay_f1")
OUTSIDE, FOUND, REWARD = 0, 1, 2
_NOT_COUNTED = -2


def sigma(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return NAB's worth of an alarm, 1 early in a window to -1 far from it."""
    return np.where(at > 3.0, -1.0, 2.0 / (1.0 + np.exp(np.minimum(5.0 * at, 700.0))) - 1.0)


class Judge(NamedTuple):
    """How rows of one file count: worth of an alarm, and its window or -1 outside; (n,) each."""

    worth: NDArray[np.float64]
    window: NDArray[np.int64]
    n_windows: int
    most_reward: float


def judge_of(series: LabelledSeries) -> Judge:
    """Return how the rows of a file count by the rules of its corpus."""
    n = len(series.values)
    if series.corpus == "cloud":
        return _judge_of_segments(series)
    worth, window = np.full(n, -1.0), np.full(n, -1)
    for i, (first, last) in enumerate(series.windows):
        length = last - first + 1
        rows = np.arange(first, last + 1)
        window[rows] = i
        worth[rows] = sigma(-(last - rows + 1) / length) / float(sigma(np.array(-1.0)))
        end = series.windows[i + 1, 0] if i + 1 < len(series.windows) else n
        after = np.arange(last + 1, end)
        worth[after] = sigma((after - last) / max(length - 1.0, 1.0))
    window[: series.scored_from] = _NOT_COUNTED
    return Judge(worth, window, len(series.windows), float(len(series.windows)))


def _judge_of_segments(series: LabelledSeries) -> Judge:
    n = len(series.values)
    worth, window = np.ones(n), np.full(n, -1)
    counted = series.windows[series.windows[:, 0] >= series.scored_from]
    for first, last in series.windows:
        window[first : last + 1] = _NOT_COUNTED
    window[: series.scored_from] = _NOT_COUNTED
    lengths = counted[:, 1] - counted[:, 0] + 1
    for i, (first, last) in enumerate(counted):
        early = slice(first, min(first + series.early, last + 1))
        window[early], worth[early] = i, lengths[i]
    return Judge(worth, window, len(counted), float(lengths.sum()))


@njit(cache=True)
def tally(
    alarms: NDArray[np.float32],
    worth: NDArray[np.float64],
    window: NDArray[np.int64],
    n_windows: int,
    thresholds: NDArray[np.float64],
) -> Any:
    """Return at each threshold the worth outside, windows found and their reward.

    thresholds: ascending; an alarm counts where it is not below. Shape (len(thresholds), 3).
    """
    totals = np.zeros((len(thresholds) + 1, 3))
    reached = np.zeros(n_windows, dtype=np.int64)
    for row in range(len(alarms)):
        at = window[row]
        if alarms[row] < thresholds[0] or at == _NOT_COUNTED:
            continue
        below = np.searchsorted(thresholds, alarms[row], side="right")
        first = 0 if at < 0 else reached[at]
        for i in range(first, below):
            if at < 0:
                totals[i, OUTSIDE] += worth[row]
            else:
                totals[i, FOUND] += 1.0
                totals[i, REWARD] += worth[row]
        if at >= 0:
            reached[at] = max(reached[at], below)
    return totals[:-1]


def figures_of(
    nab: NDArray[np.float64],
    nab_windows: NDArray[np.float64],
    cloud: NDArray[np.float64],
    cloud_windows: NDArray[np.float64],
    cloud_rows: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return FIGURES from totals, shape (..., 3) each, as shape (..., 5)."""
    found = []
    for a_fp, a_fn in PROFILES.values():
        gain = nab[..., REWARD] + a_fn * nab[..., FOUND] + a_fp * nab[..., OUTSIDE]
        found.append(100.0 * gain / np.maximum((1.0 + a_fn) * nab_windows, 1.0))
    for hit, wanted in ((FOUND, cloud_windows), (REWARD, cloud_rows)):
        true = cloud[..., hit]
        found.append(2.0 * true / np.maximum(true + wanted + cloud[..., OUTSIDE], 1.0))
    return np.stack(found, axis=-1)

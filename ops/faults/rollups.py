"""The rollups that samples must give: a reference of its own, in whole arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ops.faults.ledger import Samples
from schemas.samples import STALE_MARKER_BITS

# A sample's increase is counted from the one before it, if that is not older.
RUN_MS = 300_000
LEVELS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Rollups(NamedTuple):
    """Windows by series and start. int32 (n,), int64 (n,), int64 (n,), then float64 (n,) each.

    Quantiles are exact: the value of rank floor(level * (n_samples - 1)).
    """

    series: NDArray[np.int32]
    start_ms: NDArray[np.int64]
    n_samples: NDArray[np.int64]
    sum: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    increase: NDArray[np.float64]
    p50: NDArray[np.float64]
    p90: NDArray[np.float64]
    p99: NDArray[np.float64]


def rollups_of(samples: Samples, width_ms: int) -> Rollups:
    """Return the windows of a width over samples that are in order, each key once."""
    gains = _gains(samples)
    counts = samples.values.view(np.uint64) != STALE_MARKER_BITS
    series, times, values = (column[counts] for column in samples)
    starts_ms = times // width_ms * width_ms
    is_first = np.ones(len(series), dtype=np.bool_)
    is_first[1:] = (series[1:] != series[:-1]) | (starts_ms[1:] != starts_ms[:-1])
    at = np.flatnonzero(is_first)
    if not len(at):
        empty = np.zeros(0)
        return Rollups(series, starts_ms, np.zeros(0, np.int64), *([empty] * 9))
    ends = np.append(at[1:], len(series))
    window = np.cumsum(is_first) - 1
    ranked = values[np.lexsort((values, window))]
    return Rollups(
        series[at],
        starts_ms[at],
        ends - at,
        np.add.reduceat(values, at),
        np.fmin.reduceat(values, at),
        np.fmax.reduceat(values, at),
        values[at],
        values[ends - 1],
        np.add.reduceat(gains[counts], at),
        *(ranked[at + (level * (ends - at - 1)).astype(np.int64)] for level in LEVELS.values()),
    )


def _gains(samples: Samples) -> NDArray[np.float64]:
    """Return what each sample adds to `increase`: 0 after a stale marker or a gap, and at first."""
    series, times, values = samples
    gains = np.zeros(len(values))
    is_stale = values.view(np.uint64) == STALE_MARKER_BITS
    runs = (
        (series[1:] == series[:-1])
        & (times[1:] - times[:-1] <= RUN_MS)
        & ~is_stale[:-1]
        & ~is_stale[1:]
    )
    with np.errstate(invalid="ignore"):
        steps = np.where(values[1:] >= values[:-1], values[1:] - values[:-1], values[1:])
    gains[1:] = np.where(runs, steps, 0.0)
    return gains

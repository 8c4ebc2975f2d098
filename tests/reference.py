"""Slow and plain implementations of what the pipeline computes, to compare with."""

import math
import struct
from collections.abc import Iterable, Sequence

# In this order: count, sum, min, max, first, last, increase.
RollupRow = tuple[int, float, float, float, float, float, float]

STALE_BITS = 0x7FF0000000000002
RUN_MS = 300_000


def is_stale(value: float) -> bool:
    """Whether a value is Prometheus' stale marker."""
    return bool(struct.pack("<d", value) == struct.pack("<Q", STALE_BITS))


def rollup_reference(
    series_id: int, times_ms: Iterable[int], values: Iterable[float], width_ms: int
) -> dict[int, RollupRow]:
    """Return the rollup row of each window of one series, by the window's start in ms.

    times_ms, values: samples in order of arrival; of several with one time the last counts.
    Stale markers are left out, and end the run that an increase is counted over.
    """
    del series_id
    kept = sorted(dict(zip(times_ms, values, strict=True)).items())
    windows: dict[int, list[float]] = {}
    increases: dict[int, float] = {}
    before: tuple[int, float] | None = None
    for time_ms, value in kept:
        if is_stale(value):
            before = None
            continue
        start = time_ms // width_ms * width_ms
        windows.setdefault(start, []).append(value)
        increases.setdefault(start, 0.0)
        if before is not None and time_ms - before[0] <= RUN_MS:
            increases[start] += value - before[1] if value >= before[1] else value
        before = (time_ms, value)
    return {start: _row(window, increases[start]) for start, window in windows.items()}


def _row(values: list[float], increase: float) -> RollupRow:
    numbers = [value for value in values if not math.isnan(value)] or [math.nan]
    return (
        len(values),
        sum(values),
        min(numbers),
        max(numbers),
        values[0],
        values[-1],
        increase,
    )


def quantile_reference(values: Sequence[float], level: float) -> float:
    """Return the lower quantile: the value of rank floor(level * (n - 1))."""
    return sorted(values)[int(level * (len(values) - 1))]

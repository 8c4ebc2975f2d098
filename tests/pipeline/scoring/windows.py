"""Announcements and blocks of rollups for tests of the score engine."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.rollups import RollupBlock
from schemas.series import Announcement, MetricType, SeriesBlock, series_block

MINUTE_MS = 60_000
T0_MS = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS


def announced(
    series: Mapping[int, str],
    kind: MetricType = MetricType.UNKNOWN,
    receive_ms: int = T0_MS,
    **labels: str,
) -> SeriesBlock:
    """Announce series by id and metric."""
    series_of = [
        Announcement(number, {"__name__": metric, **labels}, kind)
        for number, metric in series.items()
    ]
    return series_block("t", receive_ms, 30, series_of)


def rollups(
    series_ids: Sequence[int],
    minutes: Sequence[int],
    values: Sequence[float] | NDArray[np.float64],
    *,
    increases: Sequence[float] | None = None,
    totals: dict[int, float] | None = None,
    counts: Sequence[int] | None = None,
    receive_ms: int | None = None,
    width_s: int = 60,
) -> RollupBlock:
    """Return windows whose mean is the value, closed a minute after the last one of them.

    increases: of counters, which end a window with what they have increased by in all; totals:
    by how much until now, changed.
    """
    n = len(series_ids)
    count = np.array([4] * n if counts is None else counts, dtype=np.uint32)
    mean = np.array(values, dtype=np.float64)
    window_ms = T0_MS + np.array(minutes, dtype=np.int64) * width_s * 1000
    at_ms = int(window_ms.max(initial=T0_MS)) + width_s * 1000 if receive_ms is None else receive_ms
    rise = np.zeros(n) if increases is None else np.array(increases, dtype=np.float64)
    last = mean if increases is None else risen(series_ids, rise, {} if totals is None else totals)
    return RollupBlock(
        *("t", at_ms, 30, width_s, window_ms, np.array(series_ids, dtype=np.uint64), count),
        *(mean * count, mean if increases is not None else mean - 1, mean + 1, mean, last, rise),
        *(np.zeros(n, dtype=np.uint32), np.zeros(0, dtype=np.uint32)),
    )


def risen(
    series_ids: Sequence[int], increases: NDArray[np.float64], totals: dict[int, float]
) -> NDArray[np.float64]:
    """Return what each row's counter stands at after its increase."""
    lasts = np.empty(len(increases))
    for at, series_id in enumerate(series_ids):
        lasts[at] = totals[series_id] = totals.get(series_id, 0.0) + increases[at]
    return lasts

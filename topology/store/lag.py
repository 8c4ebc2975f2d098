"""Reports how old the oldest record is that a stage has not done."""

from collections.abc import Iterable

from topology.clock import now_ms
from topology.metrics import Metrics


def report_lag(metrics: Metrics, ages: Iterable[tuple[str, int, int | None]]) -> None:
    """Set stage_lag_seconds of each stage and partition named.

    ages: stage, partition, and a receive time in ms, or None where nothing waits.
    """
    now = now_ms()
    lags: dict[tuple[str, int], float] = {}
    for stage, partition, receive_ms in ages:
        lag_s = 0.0 if receive_ms is None else max(0, now - receive_ms) / 1000
        lags[stage, partition] = max(lags.get((stage, partition), 0.0), lag_s)
    for (stage, partition), lag_s in lags.items():
        metrics.stage_lag.labels(stage, partition).set(lag_s)

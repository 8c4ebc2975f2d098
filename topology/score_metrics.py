"""Metrics of the score stage."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ScoreMetrics:
    """Families that tell what became of windows and series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.windows_scored = Counter(
            "observai_windows_scored_total",
            "Windows scored, those of series that are still learned left out.",
            registry=registry,
        )
        self.windows_unscored = Counter(
            "observai_windows_unscored_total",
            "Windows without a score because their series' announcement had not been read.",
            registry=registry,
        )
        self.series = Gauge(
            "observai_score_series",
            "Series that the score stage knows, by state.",
            ["partition", "state"],
            registry=registry,
        )
        self.series_evicted = Counter(
            "observai_score_series_evicted_total",
            "Series whose model was forgotten: silent for long, or for want of memory.",
            registry=registry,
        )

"""How surprising it is that so many series of one kind become anomalous in a few minutes."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.grouping.windows import Traits
from schemas.series import METRIC_LABEL

HOUR_S, DAY_S = 3600, 86_400
# A trait that was never seen may still have had bad luck.
_PRIOR = 0.5
LEAST_ALIKE = 10


def log10_tail(n: int, mean: float) -> float:
    """Return log10 of an upper bound of P(X >= n), X Poisson of this mean; 0 where n <= mean.

    The sum of the tail is at most its first term times a geometric series' sum.
    """
    if n <= mean:
        return 0.0
    log_first = n * math.log(mean) - mean - math.lgamma(n + 1)
    return min(0.0, (log_first + math.log((n + 1) / (n + 1 - mean))) / math.log(10))


@dataclass(frozen=True, slots=True)
class Usual:
    """How often series of each trait became anomalous in the day before an hour.

    counts: int64 (number of traits,). span_s: for how long it is known, a day at most. n_alike: of
    the label with most values that had onsets, how many: hosts of a large fleet. Metrics do not
    count: many of these make no fleet of a few hosts.
    """

    counts: NDArray[np.int64]
    span_s: float
    n_alike: int

    @classmethod
    def before(
        cls,
        hour_s: int,
        onsets_s: NDArray[np.int64],
        series: NDArray[np.int64],
        traits: Traits,
        since_s: int,
    ) -> "Usual":
        """Count the onsets of the day before.

        onsets_s, series: of all onsets, in order of time. since_s: first time that is known of.
        """
        first, end = np.searchsorted(onsets_s, [hour_s - DAY_S, hour_s])
        span_s = min(max(hour_s - since_s, HOUR_S), DAY_S)
        counts = traits.count(series[first:end])
        of_label = Counter(traits.names[at][0] for at in np.flatnonzero(counts).tolist())
        of_label.pop(METRIC_LABEL, None)
        return cls(counts, float(span_s), max(of_label.values(), default=0))

    def mean(self, trait: int, within_s: float) -> float:
        """Return how many series of a trait are to be expected within a time."""
        return (float(self.counts[trait]) + _PRIOR) * within_s / self.span_s

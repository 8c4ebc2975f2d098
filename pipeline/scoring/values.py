"""Which number of a window is judged: by a series' type, or by its name as Prometheus has it."""

from enum import IntEnum

from schemas.series import MetricType


class Value(IntEnum):
    """What of a window is judged. NONE: the series is not scored.

    RATE: increase per second; the others are those of relation `rollups`.
    """

    NONE = 0
    MEAN = 1
    RATE = 2
    MIN = 3
    MAX = 4
    LAST = 5
    COUNT = 6
    SUM = 7


# A counter by its name, where its type is not known; and the parts of histograms and summaries.
_RATES = ("_total", "_count", "_sum")
# One bucket of a histogram, a constant 1 that carries labels, a time of creation.
_NO_MEASUREMENTS = ("_bucket", "_info", "_created")


def usual_value(metric: str, kind: MetricType) -> Value:
    """Return what is judged of a series where no rule says it."""
    if metric.endswith(_NO_MEASUREMENTS) or kind == MetricType.INFO:
        return Value.NONE
    match kind:
        case MetricType.COUNTER:
            return Value.RATE
        case MetricType.GAUGE | MetricType.STATESET:
            return Value.MEAN
        case _:
            return Value.RATE if metric.endswith(_RATES) else Value.MEAN

"""Which number of a window is scored: its mean for a gauge, its rate for a counter."""

from enum import Enum

_COUNTER_SUFFIXES = ("_total", "_sum", "_count")
_BUCKET_SUFFIX = "_bucket"


class Value(Enum):
    """What of a window is scored."""

    MEAN = "mean"
    RATE = "rate"  # increase per second
    NONE = "none"


def value_of(metric: str, type_: str) -> Value:
    """Choose by type where it is known ("" if not), else by suffix, as Prometheus names series.

    Buckets of histograms are not scored: their sum and count are.
    """
    if metric.endswith(_BUCKET_SUFFIX):
        return Value.NONE
    if type_ == "gauge":
        return Value.MEAN
    if type_ == "counter" or metric.endswith(_COUNTER_SUFFIXES):
        return Value.RATE
    return Value.MEAN

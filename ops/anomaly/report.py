"""What a backtest of rollups says: which windows would have alarmed, why, and pictures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ops.anomaly.backtest_rollups import Request, ScoredSeries
from ops.anomaly.picture import FINE, Track, draw
from ops.times import show_time

_PICTURES, _HEIGHT, _LEAST_WIDTH, _MARGIN = 5, 8, 20, 14
_ALARMS_SHOWN = 20


@dataclass(slots=True)
class Summary:
    """Numbers of series and windows; highest: the series of the highest alarms, first these."""

    n_series: int = 0
    n_left_out: int = 0
    n_windows: int = 0
    n_learning: int = 0
    n_alarms: int = 0
    n_alarmed: int = 0
    highest: list[ScoredSeries] = field(default_factory=list)

    def add(self, one: ScoredSeries) -> None:
        """Count a series."""
        n_alarms = len(one.alarms())
        self.n_series += not one.is_left_out
        self.n_left_out += one.is_left_out
        self.n_windows += len(one.scores)
        self.n_learning += int((one.scores.learning_s > 0).sum())
        self.n_alarms += n_alarms
        self.n_alarmed += n_alarms > 0
        if n_alarms:
            self.highest = sorted([*self.highest, one], key=_peak, reverse=True)[:_PICTURES]


def lines(request: Request, found: Iterable[ScoredSeries], width: int) -> Iterator[str]:
    """Yield the report for a terminal of so many columns, the highest alarm's series first."""
    summary = Summary()
    for one in found:
        summary.add(one)
    yield (
        f"{request.metric}: {summary.n_series} series, {summary.n_windows:,} windows of "
        f"{request.width_s} s, {summary.n_alarms} alarms in {summary.n_alarmed} series"
    )
    if summary.n_left_out:
        yield f"{summary.n_left_out} more series are not scored, by name, type or rule"
    if summary.n_windows and summary.n_windows == summary.n_learning:
        yield "all of it is learning; begin earlier with --from"
    for one in summary.highest:
        yield ""
        yield from _picture(request, one, width)
    if (n_more := summary.n_alarmed - len(summary.highest)) > 0:
        yield f"\nand {n_more} more series; --json lists all"


def as_jsonable(request: Request, found: Iterable[ScoredSeries]) -> dict[str, Any]:
    """Return the same for a script, without pictures."""
    summary, alarms = Summary(), []
    for one in found:
        summary.add(one)
        head = {"series_id": one.series_id, "labels": one.labels}
        alarms += [head | alarm for alarm in _alarms(one)]
    return {
        "metric": request.metric,
        "width_s": request.width_s,
        "series": summary.n_series,
        "left_out": summary.n_left_out,
        "windows": summary.n_windows,
        "alarms": alarms,
    }


def _picture(request: Request, one: ScoredSeries, width: int) -> Iterator[str]:
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
    yield f"{request.metric}{{{labels}}}"
    scores = one.scores
    track = Track(scores.values, scores.lower, scores.upper, scores.scores, scores.alarms)
    yield from draw(track, max(width - _MARGIN, _LEAST_WIDTH), _HEIGHT, FINE)
    first, last = (show_time(int(scores.window_starts_ms[at])) for at in (0, -1))
    yield f"{'':11} {first}{last:>{max(width - _MARGIN - len(first), len(last) + 2)}}"
    for alarm in islice(_alarms(one), _ALARMS_SHOWN):
        yield (
            f"  {alarm['time']}  score {alarm['alarm']:.2f}  value {alarm['value']:.6g}  "
            f"{alarm['reason']}"
        )
    if (n_more := len(one.alarms()) - _ALARMS_SHOWN) > 0:
        yield f"  and {n_more} more"


def _alarms(one: ScoredSeries) -> Iterator[dict[str, Any]]:
    scores = one.scores
    for row in one.alarms():
        yield {
            "time": show_time(int(scores.window_starts_ms[row])),
            "value": float(scores.values[row]),
            "alarm": float(scores.alarms[row]),
            "expected": float(scores.expected[row]),
            "lower": float(scores.lower[row]),
            "upper": float(scores.upper[row]),
            "reason": one.reason(int(row)),
        }


def _peak(one: ScoredSeries) -> float:
    return float(one.scores.alarms.max())

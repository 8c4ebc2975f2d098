"""What a backtest of rollups says: which windows would have alarmed, why, and pictures."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ops.anomaly.backtest_rollups import Request, ScoredSeries
from ops.anomaly.picture import FINE, Track, draw
from ops.times import show_time

_PICTURES, _HEIGHT, _LEAST_WIDTH, _MARGIN = 5, 8, 20, 14
_ALARMS_SHOWN = 20


def lines(request: Request, found: Sequence[ScoredSeries], width: int) -> Iterator[str]:
    """Yield the report for a terminal of so many columns, the highest alarm's series first."""
    alarmed = sorted((one for one in found if len(one.alarms())), key=_peak, reverse=True)
    n_alarms = sum(len(one.alarms()) for one in found)
    n_windows = sum(len(one.values) for one in found)
    yield (
        f"{request.metric}: {len(found)} series, {n_windows:,} windows of {request.width_s} s, "
        f"{n_alarms} alarms in {len(alarmed)} series"
    )
    if found and not n_windows - _n_learning(found):
        yield "all of it is learning; begin earlier with --from"
    for one in alarmed[:_PICTURES]:
        yield ""
        yield from _picture(request, one, width)
    if len(alarmed) > _PICTURES:
        yield f"\nand {len(alarmed) - _PICTURES} more series; --json lists all"


def as_jsonable(request: Request, found: Sequence[ScoredSeries]) -> dict[str, Any]:
    """Return the same for a script, without pictures."""
    return {
        "metric": request.metric,
        "width_s": request.width_s,
        "series": len(found),
        "windows": sum(len(one.values) for one in found),
        "alarms": [
            {"series_id": one.series_id, "labels": one.labels} | alarm
            for one in found
            for alarm in _alarms(one)
        ],
    }


def _picture(request: Request, one: ScoredSeries, width: int) -> Iterator[str]:
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
    yield f"{request.metric}{{{labels}}}"
    scores = one.scores
    track = Track(one.values, scores.lower, scores.upper, scores.score, scores.alarm)
    yield from draw(track, max(width - _MARGIN, _LEAST_WIDTH), _HEIGHT, FINE)
    first, last = (show_time(round(one.times_s[at] * 1000)) for at in (0, -1))
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
            "time": show_time(round(one.times_s[row] * 1000)),
            "value": float(one.values[row]),
            "alarm": float(scores.alarm[row]),
            "expected": float(scores.expected[row]),
            "lower": float(scores.lower[row]),
            "upper": float(scores.upper[row]),
            "reason": one.reason(int(row)),
        }


def _peak(one: ScoredSeries) -> float:
    return float(one.scores.alarm.max())


def _n_learning(found: Sequence[ScoredSeries]) -> int:
    return sum(int((one.scores.learning_s > 0).sum()) for one in found)

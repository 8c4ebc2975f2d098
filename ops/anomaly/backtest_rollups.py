"""Runs the score stage over the stored rollups of one metric."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from ops.anomaly.followed import BacktestError, Followed
from ops.anomaly.stored_windows import block_of
from ops.query import Service, escaped
from ops.times import show_time
from pipeline.anomaly.reasons import words
from pipeline.scoring.models import SHARD_SLOTS, Room
from pipeline.scoring.values import Value
from pipeline.scoring.width import WidthScores
from schemas.scores import ScoreBlock
from schemas.series import METRIC_LABEL, Announcement, MetricType, series_block
from topology.store.columns import SUMMARIES

# Rows and series of one answer: some tens of MB.
_ROWS_AT_ONCE, _SERIES_AT_ONCE = 200_000, 5_000
_NEAR = 3


@dataclass(frozen=True, slots=True)
class Request:
    """Which rollups: windows of width_s of a metric that start in [from_s, until_s)."""

    metric: str
    width_s: int
    from_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class ScoredSeries:
    """One series, and what the stage says of its windows, in order of time.

    is_left_out: it is not scored, by its name, its type or a rule; then there are no windows.
    """

    series_id: int
    labels: dict[str, str]
    is_left_out: bool
    scores: ScoreBlock

    def alarms(self) -> NDArray[np.intp]:
        """Return the rows that would have alarmed."""
        return np.flatnonzero(self.scores.alarms > 1)

    def reason(self, row: int) -> str:
        """Return in words why a window is anomalous."""
        scores = self.scores
        return words(
            int(scores.reasons[row]),
            float(scores.values[row]),
            float(scores.expected[row]),
            float(scores.window_starts_ms[row]) / 1000,
        )


def backtest_rollups(
    service: Service, followed: Followed, request: Request
) -> Iterator[ScoredSeries]:
    """Yield every series of the metric with its scores.

    Raises ApiError, and BacktestError where there is no such series or no window.
    """
    series = _announcements(service, request.metric)
    n_windows = max(1, (request.until_s - request.from_s) // request.width_s)
    at_once = min(max(1, _ROWS_AT_ONCE // n_windows), _SERIES_AT_ONCE)
    n_found = 0
    for at in range(0, len(series), at_once):
        page = series[at : at + at_once]
        rows = _fetch(service, request, [one.series_id for one in page])
        n_found += rows.num_rows
        yield from _judge(followed, request, page, rows)
    if not n_found:
        begin, end = (show_time(time_s * 1000) for time_s in (request.from_s, request.until_s))
        raise BacktestError(
            f"{request.metric}: {len(series)} series, but no windows of {request.width_s} s from "
            f"{begin} to {end}; give another --from, --to or --width"
        )


def _announcements(service: Service, metric: str) -> list[Announcement]:
    rows = service.table(
        "SELECT series_id, labels, type FROM series "  # noqa: S608 - escaped
        f"WHERE metric = '{escaped(metric)}' ORDER BY series_id"
    ).rows
    if not rows:
        near = service.table(
            "SELECT metric FROM series GROUP BY metric "  # noqa: S608 - escaped
            f"ORDER BY editDistanceUTF8(metric, '{escaped(metric)}'), metric LIMIT {_NEAR}"
        ).rows
        names = ", ".join(name for (name,) in near)
        nearest = f"the nearest names are {names}" if near else "there are no series at all yet"
        raise BacktestError(f"no series of metric {metric!r}: {nearest}")
    return [
        Announcement(int(series_id), {METRIC_LABEL: metric, **labels}, MetricType[kind.upper()])
        for series_id, labels, kind in rows
    ]


def _fetch(service: Service, request: Request, ids: Sequence[int]) -> pa.Table:
    body = service.run(
        "SELECT series_id, toUnixTimestamp(window_start) AS start_s, count, "  # noqa: S608 - escaped, and numbers
        f"{', '.join(SUMMARIES)} FROM rollups WHERE width_s = {request.width_s} "
        f"AND metric = '{escaped(request.metric)}' AND series_id IN ({', '.join(map(str, ids))}) "
        f"AND window_start >= fromUnixTimestamp({request.from_s}) "
        f"AND window_start < fromUnixTimestamp({request.until_s}) ORDER BY series_id, start_s",
        "arrow",
    )
    return pyarrow.ipc.open_stream(body).read_all()


def _judge(
    followed: Followed, request: Request, page: Sequence[Announcement], rows: pa.Table
) -> Iterator[ScoredSeries]:
    announced = series_block(followed.tenant, 0, 1, page)
    values, rules = followed.rules.choose(announced)
    room = Room(-(-len(page) // SHARD_SLOTS))
    stage = WidthScores(request.width_s, followed.rules, room, len(page), forget_ms=0)
    stage.announce(announced, values, rules)
    scores, _ = stage.feed([block_of(followed.tenant, request.width_s, rows, 0)])
    scores = scores.take(np.flatnonzero(np.isfinite(scores.values)))
    # Slots were given in the order of the rows, so a series' windows stand together.
    begins = np.searchsorted(scores.series_ids, announced.series_ids, "left")
    ends = np.searchsorted(scores.series_ids, announced.series_ids, "right")
    for one, value, begin, end in zip(page, values.tolist(), begins, ends, strict=True):
        labels = {name: text for name, text in one.labels.items() if name != METRIC_LABEL}
        is_left_out = value == Value.NONE
        if is_left_out or end > begin:
            yield ScoredSeries(one.series_id, labels, is_left_out, scores.cut(int(begin), int(end)))

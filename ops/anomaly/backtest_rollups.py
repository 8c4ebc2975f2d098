"""Runs the production scorer over the stored rollups of one metric."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from ops.query import Service, escaped
from pipeline.anomaly.reasons import words
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores
from pipeline.anomaly.values import Value, value_of

# Rows of one answer: some tens of MB.
_ROWS_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """Which rollups: windows of width_s of a metric that start in [from_s, until_s)."""

    metric: str
    width_s: int
    from_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class ScoredSeries:
    """One series: its windows in order of time, and what the scorer says of them."""

    series_id: int
    labels: dict[str, str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    scores: Scores

    def alarms(self) -> NDArray[np.intp]:
        """Return the rows that would have alarmed."""
        return np.flatnonzero(self.scores.alarm > 1)

    def reason(self, row: int) -> str:
        """Return in words why a window is anomalous."""
        scores = self.scores
        return words(
            int(scores.reason[row]),
            float(self.values[row]),
            float(scores.expected[row]),
            float(self.times_s[row]),
        )


def backtest_rollups(service: Service, request: Request) -> Iterator[ScoredSeries]:
    """Yield every series of the metric with its scores. Raises ApiError."""
    series = service.table(
        "SELECT series_id, labels, type FROM series "  # noqa: S608 - escaped
        f"WHERE metric = '{escaped(request.metric)}' ORDER BY series_id"
    )
    n_windows = max(1, (request.until_s - request.from_s) // request.width_s)
    at_once = max(1, _ROWS_AT_ONCE // n_windows)
    for at in range(0, len(series.rows), at_once):
        page = {int(row[0]): (row[1], row[2]) for row in series.rows[at : at + at_once]}
        yield from _score(_fetch(service, request, list(page)), page, request)


def _fetch(service: Service, request: Request, ids: list[int]) -> pa.Table:
    body = service.run(
        "SELECT series_id, toUnixTimestamp(window_start) AS time_s, sum / count AS mean, "  # noqa: S608 - escaped, and numbers
        f"increase / {request.width_s} AS rate FROM rollups WHERE width_s = {request.width_s} "
        f"AND metric = '{escaped(request.metric)}' AND series_id IN ({', '.join(map(str, ids))}) "
        f"AND window_start >= fromUnixTimestamp({request.from_s}) "
        f"AND window_start < fromUnixTimestamp({request.until_s}) ORDER BY series_id, window_start",
        "arrow",
    )
    return pyarrow.ipc.open_stream(body).read_all()


def _score(
    rows: pa.Table, page: dict[int, tuple[dict[str, str], str]], request: Request
) -> Iterator[ScoredSeries]:
    ids = rows["series_id"].to_numpy()
    times_s = rows["time_s"].to_numpy().astype(np.float64)
    ends = [*np.flatnonzero(ids[1:] != ids[:-1]).tolist(), len(ids) - 1] if len(ids) else []
    begin = 0
    for last in ends:
        rows_of = slice(begin, last + 1)
        begin = last + 1
        series_id = int(ids[last])
        labels, type_ = page[series_id]
        value = value_of(request.metric, type_)
        if value is Value.NONE:
            continue
        column = rows["rate" if value is Value.RATE else "mean"].to_numpy()
        values = column[rows_of].astype(np.float64)
        scorer = Scorer()
        scorer.grow(1)
        scores = scorer.update(np.zeros(len(values), np.int64), times_s[rows_of], values)
        yield ScoredSeries(series_id, labels, times_s[rows_of], values, scores)

"""Runs the production scorer over files of series, as if they came window by window."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ops.anomaly.series_file import BadSeriesFile, SeriesFile, read_series
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores

COLUMNS = ("timestamp", "value", "anomaly_score", "score", "expected", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest of files found."""

    n_files: int
    n_rows: int
    n_alarms: int


def backtest_files(data_dir: Path, out_dir: Path, say: Callable[[str], None]) -> Backtest:
    """Write, for each `*.csv` below data_dir, its scores to the same path below out_dir.

    Each file is a series of its own, each row one window. Raises BadSeriesFile where a file cannot
    be read, or where there is none.
    """
    paths = _files(data_dir, out_dir)
    n_rows, n_alarms = 0, 0
    for path in paths:
        say(str(path.relative_to(data_dir)))
        series = read_series(path)
        scores = score_series(series)
        _write(out_dir / path.relative_to(data_dir), series, scores)
        n_rows += len(scores)
        n_alarms += int((scores.alarm > 1).sum())
    return Backtest(len(paths), n_rows, n_alarms)


def score_series(series: SeriesFile) -> Scores:
    """Score the rows of a file in their order."""
    scorer = Scorer()
    scorer.grow(1)
    slots = np.zeros(len(series.values), dtype=np.int64)
    return scorer.update(slots, series.times_s, series.values)


def _files(data_dir: Path, out_dir: Path) -> list[Path]:
    out = out_dir.resolve()
    if out == data_dir.resolve():
        raise BadSeriesFile(f"{out_dir}: scores would replace the data; give another folder")
    paths = sorted(p for p in data_dir.rglob("*.csv") if not p.resolve().is_relative_to(out))
    if not paths:
        raise BadSeriesFile(f"{data_dir}: no *.csv below it")
    return paths


def _write(path: Path, series: SeriesFile, scores: Scores) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (scores.alarm, scores.score, scores.expected, scores.lower, scores.upper)
    texts = [[_text(number) for number in column.tolist()] for column in columns]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(series.times, series.texts, *texts, strict=True))


def _text(number: float) -> str:
    return f"{number:.9g}" if number - number == 0 else ""

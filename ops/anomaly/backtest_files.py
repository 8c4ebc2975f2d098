"""Runs the production scorer over files of series, as if they came window by window."""

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ops.anomaly.series_file import PIECE_ROWS, BadSeriesFile, Say, SeriesFile, read_pieces
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores

COLUMNS = ("timestamp", "value", "anomaly_score", "score", "expected", "lower", "upper")
_TOLD_EVERY_ROWS = 10 * PIECE_ROWS


@dataclass(slots=True)
class Backtest:
    """What a backtest of files found. n_bad: rows without a score; n_unread: files."""

    n_files: int = 0
    n_rows: int = 0
    n_alarms: int = 0
    n_bad: int = 0
    n_unread: int = 0


def backtest_files(
    data_dir: Path, out_dir: Path, say: Say, piece_rows: int = PIECE_ROWS
) -> Backtest:
    """Write, for each `*.csv` below data_dir, its scores to the same path below out_dir.

    Each file is a series of its own, each row one window; a row that is no time,value has no
    score, and the next one is judged as if it came after the one before. Raises BadSeriesFile
    where there is no file, where scores would replace data or cannot be written.
    """
    paths = _files(data_dir, out_dir)
    _check_can_be_written(out_dir)
    done = Backtest()
    for number, path in enumerate(paths, 1):
        name = path.relative_to(data_dir)
        say(f"{number}/{len(paths)} {name}")
        try:
            _backtest(path, out_dir / name, done, say, piece_rows)
        except OSError as error:
            done.n_unread += 1
            say(f"{error.filename or path}: {error.strerror}; {name} has no scores")
        else:
            done.n_files += 1
    return done


def _check_can_be_written(out_dir: Path) -> None:
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out_dir):
            pass
    except OSError as error:
        raise BadSeriesFile(
            f"{out_dir}: {error.strerror}; give a folder for the scores that can be written"
        ) from None


def _backtest(path: Path, out: Path, done: Backtest, say: Say, piece_rows: int) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    # By another name until it is whole.
    partial = out.with_name(f"{out.name}.part")
    try:
        _write(path, partial, done, say, piece_rows)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, out: Path, done: Backtest, say: Say, piece_rows: int) -> None:
    scorer = Scorer()
    scorer.grow(1)
    n_rows = 0
    with out.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for piece in read_pieces(path, say, piece_rows):
            slots = np.zeros(len(piece.values), dtype=np.int64)
            scores = scorer.update(slots, piece.times_s, piece.values)
            writer.writerows(_texts(piece, scores))
            done.n_rows += len(scores)
            done.n_alarms += int((scores.alarm > 1).sum())
            done.n_bad += int(piece.is_bad.sum())
            n_rows += len(scores)
            if n_rows % _TOLD_EVERY_ROWS == 0:
                say(f"  {n_rows:,} rows")


def _files(data_dir: Path, out_dir: Path) -> list[Path]:
    data, out = data_dir.resolve(), out_dir.resolve()
    if not data.is_dir():
        raise BadSeriesFile(f"{data_dir}: no such folder; give the one that holds *.csv files")
    paths = sorted(p for p in data_dir.rglob("*.csv") if p.is_file())
    if out.is_relative_to(data) and out != data:
        paths = [path for path in paths if not path.resolve().is_relative_to(out)]
    if not paths:
        raise BadSeriesFile(f"{data_dir}: no *.csv below it")
    taken = {path.resolve() for path in paths}
    for path in paths:
        if (out / path.relative_to(data_dir)).resolve() in taken:
            raise BadSeriesFile(
                f"{out_dir}: scores of {path} would replace data; give another folder"
            )
    return paths


def _texts(piece: SeriesFile, scores: Scores) -> Iterator[list[str]]:
    columns = (scores.alarm, scores.score, scores.expected, scores.lower, scores.upper)
    texts = [[_text(number) for number in column.tolist()] for column in columns]
    for time, value, is_bad, *numbers in zip(
        piece.times, piece.texts, piece.is_bad.tolist(), *texts, strict=True
    ):
        yield [time, value, *([""] * len(columns) if is_bad else numbers)]


def _text(number: float) -> str:
    return f"{number:.9g}" if number - number == 0 else ""

"""Reads a series from a CSV file, piece by piece: time first, value second, the rest is ignored."""

import csv
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.anomaly.series_times import parse_time_s

PIECE_ROWS = 50_000
_NO_VALUE = {"", "nan", "null", "none", "na", "n/a"}
_BAD_TOLD, _TEXT_TOLD = 3, 80
# A text in quotes over more lines is none.
_MOST_LINES = 100

Say = Callable[[str], None]
# Number of its first line, and the fields: two, or more.
_Row = tuple[int, list[str]]


class BadSeriesFile(Exception):
    """A file or folder cannot be read as series; the message says which and what is wrong."""


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """Rows of a file, in its order, shape (n,) each.

    times, texts: time and value as they stand in the file. times_s: seconds since 1970, a time
    without zone is UTC. values: NaN where there is none. is_bad: the row is no time,value.
    """

    times: list[str]
    texts: list[str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    is_bad: NDArray[np.bool_]


@dataclass(slots=True)
class _Reading:
    """What has been said of a file so far, and what is to be said at its end."""

    path: Path
    say: Say
    n_rows: int = 0
    n_bad: int = 0
    n_unordered: int = 0
    newest_s: float = field(default=-math.inf)

    def parse(self, number: int, fields: list[str]) -> tuple[str, str, float, float, bool]:
        """Return a row's time and value as text and as numbers, and whether it is bad."""
        self.n_rows += 1
        time, text = (one.strip() for one in [*fields, ""][:2])
        try:
            time_s, value = parse_time_s(time), _parse_value(fields)
        except (ValueError, OverflowError) as error:
            self._complain(number, fields, str(error))
            return time, text, 0.0, math.nan, True
        self.n_unordered += time_s <= self.newest_s
        self.newest_s = time_s
        return time, text, time_s, value, False

    def end(self) -> None:
        """Say what concerns the whole file."""
        if (n_more := self.n_bad - _BAD_TOLD) > 0:
            self.say(f"{self.path}: {n_more:,} more rows that are no time,value")
        if self.n_unordered:
            self.say(
                f"{self.path}: {self.n_unordered:,} rows are no later than the one before them; "
                "all are judged in the order of the file"
            )
        if not self.n_rows:
            self.say(f"{self.path}: no rows; a header and rows of time,value are needed")

    def _complain(self, number: int, fields: list[str], reason: str) -> None:
        self.n_bad += 1
        if self.n_bad <= _BAD_TOLD:
            self.say(
                f"{self.path}, line {number}: {','.join(fields)[:_TEXT_TOLD]!r} is no time,value "
                f"({reason}), and gets no score; a time is ISO 8601 or an epoch"
            )


def read_pieces(path: Path, say: Say, n_rows: int = PIECE_ROWS) -> Iterator[SeriesFile]:
    """Yield a file's rows, so many at once, and say what is wrong with it.

    Raises OSError where it cannot be read.
    """
    reading = _Reading(path, say)
    # A byte that is no UTF-8 makes its row bad, if it stands in time or value, and no other.
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = _without_header(_rows(file), reading)
        while some := [reading.parse(*row) for row in islice(rows, n_rows)]:
            times, texts, times_s, values, is_bad = zip(*some, strict=True)
            yield SeriesFile(
                list(times), list(texts), np.array(times_s), np.array(values), np.array(is_bad)
            )
    reading.end()


def read_series(path: Path) -> SeriesFile:
    """Read a whole file. Raises BadSeriesFile where a row is no time,value, or there is none."""
    said: list[str] = []
    pieces = list(read_pieces(path, said.append))
    if not pieces or any(piece.is_bad.any() for piece in pieces):
        raise BadSeriesFile(said[0])
    return SeriesFile(
        [time for piece in pieces for time in piece.times],
        [text for piece in pieces for text in piece.texts],
        np.concatenate([piece.times_s for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.is_bad for piece in pieces]),
    )


def _parse_value(fields: list[str]) -> float:
    if len(fields) < 2:
        raise ValueError("one column")
    text = fields[1].strip()
    if "_" in text:
        # Python's float takes it for a digit group; in a file it is somebody's mistake.
        raise ValueError(f"could not convert {text!r}")
    return math.nan if text.lower() in _NO_VALUE else float(text)


def _without_header(rows: Iterator[_Row], reading: _Reading) -> Iterator[_Row]:
    """Yield the rows without the first one, unless that begins with a time."""
    for number, fields in islice(rows, 1):
        try:
            parse_time_s(fields[0].strip())
        except (ValueError, OverflowError):
            break
        reading.say(f"{reading.path}: no header; its first row is taken as data")
        yield number, fields
    yield from rows


def _rows(lines: Iterable[str]) -> Iterator[_Row]:
    """Yield rows that are not empty; a text in quotes may go on over lines."""
    numbered = enumerate(lines, 1)
    again: deque[tuple[int, str]] = deque()
    while (one := again.popleft() if again else next(numbered, None)) is not None:
        number, line = one
        if line.count('"') % 2:
            more = _until_closed(numbered, again)
            if more and more[-1][1].count('"') % 2:
                line += "".join(text for _, text in more)
            else:
                # Nobody closes it: it is this line's own fault.
                again.extendleft(reversed(more))
        if line.strip():
            plain = line.rstrip("\r\n")
            yield number, next(csv.reader([line])) if '"' in line else plain.split(",", 2)


def _until_closed(
    numbered: Iterator[tuple[int, str]], again: deque[tuple[int, str]]
) -> list[tuple[int, str]]:
    """Take the lines up to one with another single quote, or so many as a text may have."""
    taken: list[tuple[int, str]] = []
    while len(taken) < _MOST_LINES:
        one = again.popleft() if again else next(numbered, None)
        if one is None:
            break
        taken.append(one)
        if one[1].count('"') % 2:
            break
    return taken

"""Reads a series from a CSV file: time first, value second, a header, what follows is ignored."""

import csv
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# An epoch time above this is in ms, us or ns: as seconds it would be after the year 5000.
_MOST_SECONDS = 1e11


class BadSeriesFile(Exception):
    """A file cannot be read as a series; the message names file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """Columns of a file, one row each, in its order.

    times, texts: time and value as they stand in the file. times_s: seconds since 1970, a time
    without zone is UTC. values: NaN where there is none.
    """

    times: list[str]
    texts: list[str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]


def read_series(path: Path) -> SeriesFile:
    """Read a file. Raises BadSeriesFile."""
    times: list[str] = []
    texts: list[str] = []
    times_s: list[float] = []
    values: list[float] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        if next(rows, None) is None:
            raise BadSeriesFile(f"{path}: empty; a header and rows of time,value are needed")
        for row in rows:
            if not row:
                continue
            try:
                time, value = row[0].strip(), row[1].strip()
                times_s.append(parse_time_s(time))
                values.append(float(value) if value else math.nan)
            except (ValueError, IndexError) as error:
                raise BadSeriesFile(
                    f"{path}, line {rows.line_num}: {','.join(row)[:80]!r} is no time,value "
                    f"({error}); a time is ISO 8601 or an epoch"
                ) from None
            times.append(time)
            texts.append(value)
    return SeriesFile(times, texts, np.array(times_s, dtype=float), np.array(values, dtype=float))


def parse_time_s(text: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time or an epoch in s, ms, us or ns.

    Raises ValueError.
    """
    try:
        epoch = float(text)
    except ValueError:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    # 20140401 is a date, not August 1970.
    if len(text) == 8 and text.isdigit():
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).timestamp()
    if not math.isfinite(epoch):
        raise ValueError(f"{text!r} is not finite")
    while abs(epoch) > _MOST_SECONDS:
        epoch /= 1000
    return epoch

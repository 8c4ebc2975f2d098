"""Labelled series of two public corpora: the Numenta Anomaly Benchmark and Cloud Monitoring.

A folder holds `nab/data/FAMILY/*.csv` with `nab/labels/combined_windows.json`, and
`cloud/data/FAMILY/*.csv` whose third column is the label. Either may be missing.
"""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ops.anomaly.series_file import read_series
from ops.anomaly.series_times import parse_time_s

Corpus = Literal["nab", "cloud"]
# What the corpora's own rules leave unscored: the first rows, by share and at most, or by number.
_NAB_SHARE, _NAB_MOST = 0.15, 750
_CLOUD_ROWS = 150
# A segment is found in its first rows: of data by the minute, and by the hour.
_EARLY_MINUTE, _EARLY_HOUR = 8, 4
_MOST_MINUTE_STEP_S = 600.0


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series and where it is anomalous.

    name: of its file below the folder. windows: first and last row of each anomaly, shape (m, 2),
    ascending. scored_from: the first row that counts. early: in how many rows of a window an alarm
    counts; 0: in all.
    """

    name: str
    corpus: Corpus
    family: str
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    windows: NDArray[np.int64]
    scored_from: int
    early: int


def load(root: Path) -> list[LabelledSeries]:
    """Return the series of a folder. Raises FileNotFoundError if there are none."""
    found = [*_load_nab(root / "nab"), *_load_cloud(root / "cloud/data")]
    if not found:
        raise FileNotFoundError(f"{root}: neither nab/labels nor cloud/data/*/*.csv below it")
    return found


def _load_nab(root: Path) -> list[LabelledSeries]:
    labels = root / "labels/combined_windows.json"
    if not labels.exists():
        return []
    found = []
    for name, edges in sorted(json.loads(labels.read_text()).items()):
        path = root / "data" / name
        series = read_series(path)
        row_of = {time_s: row for row, time_s in reversed(list(enumerate(series.times_s.tolist())))}
        rows = [[row_of[parse_time_s(edge)] for edge in window] for window in edges]
        n = len(series.values)
        scored_from = math.ceil(min(math.floor(_NAB_SHARE * n), _NAB_MOST))
        found.append(
            LabelledSeries(
                f"nab/{name}", "nab", f"nab/{path.parent.name}", series.times_s, series.values,
                np.array(rows, dtype=np.int64).reshape(-1, 2), scored_from, 0,
            )
        )  # fmt: skip
    return found


def _load_cloud(root: Path) -> list[LabelledSeries]:
    found = []
    for path in sorted(root.glob("*/*.csv")):
        series = read_series(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            is_anomalous = [float(row[2]) > 0 for row in list(csv.reader(file))[1:] if row]
        change = np.diff(np.concatenate([[0], np.array(is_anomalous, dtype=np.int8), [0]]))
        windows = np.stack([np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1], axis=1)
        is_minute = np.median(np.diff(series.times_s)) <= _MOST_MINUTE_STEP_S
        found.append(
            LabelledSeries(
                f"cloud/{path.parent.name}/{path.name}", "cloud", f"cloud/{path.parent.name}",
                series.times_s, series.values, windows, _CLOUD_ROWS,
                _EARLY_MINUTE if is_minute else _EARLY_HOUR,
            )
        )  # fmt: skip
    return found

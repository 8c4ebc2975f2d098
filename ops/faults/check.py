"""Full check of a stream: what its client was told is taken, against what the store answers."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ops.api import ApiError
from ops.faults.client import Stream
from ops.faults.compare import Difference, compare_rollups, compare_samples
from ops.faults.ledger import Samples
from ops.faults.rollups import Rollups, rollups_of
from ops.faults.traffic import MINUTE_MS
from ops.query import Service
from pipeline.windows import COARSE_WIDTHS_MS, FINE_WIDTH_MS
from topology.clock import now_ms

# Rows of one query: the store's limit is a million.
MAX_ROWS = 400_000
# What a window still waits for when its last sample is stored: that its tenant is silent for long
# enough, a tick, the allowed lateness, and the store.
CLOSED_AFTER_MS = 25_000
_EVER_MS = 1 << 41
_RETRY_S = 1.0


@dataclass(slots=True)
class Checked:
    """Result of a full check, by what was compared: "samples", "rollups 60 s"."""

    metric: str
    generation: int
    differences: dict[str, Difference] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether nothing differs."""
        return all(one.is_none for one in self.differences.values())


def check_until_right(
    store: Service, stream: Stream, deadline_s: float, behind_ms: int = 0
) -> Checked:
    """Compare until nothing differs, or for deadline_s: what is under way may take its time.

    behind_ms: by how much the event time of the stream's tenant is behind the time of day.
    """
    began_s = time.monotonic()
    while True:
        checked = _try_check(store, stream, now_ms() - behind_ms - CLOSED_AFTER_MS)
        checked.seconds = time.monotonic() - began_s
        if checked.is_right or checked.seconds > deadline_s:
            return checked
        time.sleep(_RETRY_S)


def _try_check(store: Service, stream: Stream, closed_until_ms: int) -> Checked:
    try:
        return check(store, stream, closed_until_ms)
    except ApiError as error:
        failed = Difference(lost=1, examples=[f"the store does not answer: {error}"])
        return Checked(stream.metric, stream.generation, {"samples": failed})


def check(store: Service, stream: Stream, closed_until_ms: int) -> Checked:
    """Compare all samples of a stream, and its windows of all widths. Raises ApiError.

    closed_until_ms: windows that end later may be open, and are not looked at.
    """
    wanted = stream.ledger.samples()
    checked = Checked(stream.metric, stream.generation)
    found = fetch_samples(store, stream, wanted)
    checked.differences["samples"] = compare_samples(wanted, found, stream.ledger)
    fine = (FINE_WIDTH_MS,) * stream.tenant.fine_windows
    for width_ms in (*fine, MINUTE_MS, *COARSE_WIDTHS_MS):
        last_ms = closed_until_ms - width_ms
        due = until(rollups_of(wanted, width_ms), last_ms)
        stored = until(fetch_rollups(store, stream, width_ms // 1000, due), last_ms)
        checked.differences[f"rollups {width_ms // 1000} s"] = compare_rollups(
            due, stored, stream.ledger, with_quantiles=stream.tenant.sketches
        )
    return checked


def n_stored(store: Service, stream: Stream) -> int:
    """Return how many samples of a stream can be queried."""
    where = _of(stream)
    return int(store.table(f"SELECT count() FROM samples WHERE {where}").rows[0][0])  # noqa: S608 - our own names


def until(rollups: Rollups, last_ms: int) -> Rollups:
    """Return the windows that start no later than last_ms."""
    is_due = rollups.start_ms <= last_ms
    columns: Iterable[NDArray[Any]] = rollups
    return Rollups(*(column[is_due] for column in columns))


def fetch_samples(store: Service, stream: Stream, wanted: Samples) -> Samples:
    """Return all stored samples of a stream, in any order, as often as they are there."""
    time_ms = "toUnixTimestamp64Milli(time)"
    parts = [
        _table(
            store,
            f"SELECT toInt32(labels['i']) AS series, {time_ms} AS time_ms, value FROM samples "  # noqa: S608 - our own names
            f"WHERE {_of(stream)} AND {time_ms} >= {from_ms} AND {time_ms} < {until_ms}",
        )
        for from_ms, until_ms in _spans(wanted.times_ms)
    ]
    columns = _joined(parts)
    return Samples(columns["series"], columns["time_ms"], columns["value"])


def fetch_rollups(store: Service, stream: Stream, width_s: int, due: Rollups) -> Rollups:
    """Return all stored windows of a width of a stream; a quantile that is NULL is NaN."""
    start_ms = "toInt64(toUnixTimestamp(window_start)) * 1000"
    names = ", ".join(Rollups._fields[3:])
    parts = [
        _table(
            store,
            f"SELECT toInt32(labels['i']) AS series, {start_ms} AS start_ms, "  # noqa: S608 - our own names
            f"toInt64(count) AS n_samples, {names} FROM rollups WHERE {_of(stream)} "
            f"AND width_s = {width_s} AND {start_ms} >= {from_ms} AND {start_ms} < {until_ms}",
        )
        for from_ms, until_ms in _spans(due.start_ms)
    ]
    columns = _joined(parts)
    return Rollups(*(columns[name] for name in Rollups._fields))


def _of(stream: Stream) -> str:
    return f"metric = '{stream.metric}' AND labels['generation'] = '{stream.generation}'"


def _spans(times_ms: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Yield spans of time that hold MAX_ROWS of the times each, and all time together."""
    inner = np.unique(np.sort(times_ms)[MAX_ROWS::MAX_ROWS]).tolist()
    bounds = [0, *inner, _EVER_MS]
    return pairwise(bounds)


def _table(store: Service, statement: str) -> pa.Table:
    return pa.ipc.open_stream(store.run(statement, "arrow")).read_all()


def _joined(parts: Iterable[pa.Table]) -> Mapping[str, NDArray[Any]]:
    table = pa.concat_tables(parts)
    columns = {name: table.column(name) for name in table.column_names}
    return {
        name: column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        if name in {"p50", "p90", "p99"}
        else column.to_numpy()
        for name, column in columns.items()
    }

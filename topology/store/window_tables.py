"""Reads samples and windows from the store, sorted, and lays windows out as Arrow tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from pipeline.rows import ROW, Rows
from schemas.topics import ALL_SERIES
from topology.store.columns import SECONDS, SUMMARIES, sketch_column

# Of a row that is read: those of the type ROW under the same names.
_VALUES = ("series_id", "count", *SUMMARIES)

_OF_TENANTS = "indexOf({tenants:Array(String)}, tenant) AS code, series_id"
_OF_SERIES = (
    "tenant IN {tenants:Array(String)} AND series_id BETWEEN {first_id:UInt64} AND {last_id:UInt64}"
)
_AMONG = " AND series_id IN {series_ids:Array(UInt64)}"
_SAMPLES = (
    f"SELECT {_OF_TENANTS}, toUnixTimestamp64Milli(time) AS time_ms, value "  # noqa: S608 - constants
    f"FROM stored_samples FINAL WHERE {_OF_SERIES}{_AMONG} "
    "AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') "
    "AND time < fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC') "
    "ORDER BY tenant, series_id, time LIMIT {most:UInt64}"
)
_OF_WINDOWS = (
    " AND width_s = {width_s:UInt32} AND window_start >= toDateTime({from_s:Int64}, 'UTC') "
    "AND window_start < toDateTime({until_s:Int64}, 'UTC')"
)
_WINDOWS = (
    f"SELECT {_OF_TENANTS}, toUnixTimestamp(window_start) AS start_s, count, "  # noqa: S608 - constants
    f"{', '.join(SUMMARIES)}, sketch FROM stored_rollups FINAL WHERE {_OF_SERIES}"
)
_IN_ORDER = " ORDER BY tenant, series_id, window_start"
_COUNT = f"SELECT count() FROM stored_rollups WHERE {_OF_SERIES}{_OF_WINDOWS}"  # noqa: S608 - constants

TenantRows = tuple[str, Rows]
TenantSamples = tuple[str, NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Span:
    """Which series and times to read: all of the range of ids, or those of them that are named.

    tenants: ascending. ids: first and last, inclusive.
    """

    tenants: Sequence[str]
    from_ms: int
    until_ms: int
    ids: tuple[int, int] = ALL_SERIES
    series_ids: NDArray[np.uint64] | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        return {
            "tenants": list(self.tenants),
            "first_id": self.ids[0],
            "last_id": self.ids[1],
            "series_ids": [] if self.series_ids is None else self.series_ids.tolist(),
            "from_ms": self.from_ms,
            "until_ms": self.until_ms,
            "from_s": self.from_ms // 1000,
            "until_s": self.until_ms // 1000,
        }


def read_samples(client: Client, span: Span, most: int) -> list[TenantSamples] | None:
    """Return the samples of the named series by tenant, or None if there are more than most."""
    parameters = span.parameters() | {"most": most + 1}
    table = client.query_arrow(_SAMPLES, parameters=parameters)
    if table.num_rows > most:
        return None
    # Copies: Arrow's own arrays are read-only, which is another type to compiled code.
    names = ("series_id", "time_ms", "value")
    ids, times, values = (np.array(table[name].to_numpy()) for name in names)
    return [
        (span.tenants[code], ids[at:end], times[at:end], values[at:end])
        for code, at, end in _by_tenant(table)
    ]


def count_windows(client: Client, span: Span, width_s: int) -> int:
    """Return how many rows are stored, those that wait to be replaced included."""
    result = client.query(_COUNT, parameters=span.parameters() | {"width_s": width_s})
    return int(result.result_rows[0][0])


def read_windows(client: Client, span: Span, width_s: int) -> list[TenantRows]:
    """Return the windows by tenant, each tenant's sorted by series and time."""
    among = "" if span.series_ids is None else _AMONG
    statement = _WINDOWS + among + _OF_WINDOWS + _IN_ORDER
    table = client.query_arrow(statement, parameters=span.parameters() | {"width_s": width_s})
    rows = np.zeros(table.num_rows, dtype=ROW)
    rows["window_ms"] = table["start_s"].to_numpy().astype(np.int64) * 1000
    for name in _VALUES:
        rows[name] = table[name].to_numpy()
    sketches = table["sketch"].combine_chunks()
    lengths = np.diff(sketches.offsets.to_numpy()).astype(np.uint32)
    found = Rows(rows, lengths, np.array(sketches.flatten().to_numpy()))
    return [(span.tenants[code], found.cut(at, end)) for code, at, end in _by_tenant(table)]


def windows_table(
    found: Sequence[TenantRows], width_s: int, version: int, retention_days: int
) -> pa.Table:
    """Return rows of table stored_rollups, in the order given."""
    tenants, parts = zip(*found, strict=True)
    rows = np.concatenate([one.rows for one in parts])
    codes = np.repeat(np.arange(len(parts), dtype=np.int32), [len(one) for one in parts])
    lengths = np.concatenate([one.sketch_lengths for one in parts])
    columns = {
        "tenant": pa.DictionaryArray.from_arrays(codes, list(tenants)),
        "width_s": np.full(len(rows), width_s, dtype=np.uint32),
        "window_start": pa.array(rows["window_ms"] // 1000, type=SECONDS),
        "version": np.full(len(rows), version, dtype=np.uint64),
        "retention_days": np.full(len(rows), retention_days, dtype=np.uint16),
        "sketch": sketch_column(lengths, np.concatenate([one.sketch for one in parts])),
    }
    columns |= {name: np.ascontiguousarray(rows[name]) for name in _VALUES}
    return pa.table(columns)


def _by_tenant(table: pa.Table) -> Iterator[tuple[int, int, int]]:
    """Yield index, start and end of each tenant's rows; SQL counts the former from 1."""
    codes = table["code"].to_numpy()
    if len(codes):
        bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        for at, end in pairwise(bounds):
            yield int(codes[at]) - 1, at, end

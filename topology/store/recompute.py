"""Computes windows again from the stored samples, once these are stored."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from clickhouse_connect.driver.client import Client

from schemas.rollups import RecomputeBlock
from schemas.samples import STALE_MARKER_BITS

# A sample's increase is counted from the one before it, if that is not older than this.
RUN_MS = 300_000

# Windows of one statement: their keys are its parameters, some 50 bytes each.
MAX_WINDOWS_PER_STATEMENT = 5_000
# Windows of one round, so that a storm of late samples does not hold up the archive.
MAX_WINDOWS_PER_ROUND = 20_000

_DAY_MS = 86_400_000

# One pass over the samples of the marked series, from 5 minutes before the first window: the
# sample before each one comes by a window function, so a series' windows share one read.
# A window that has lost its samples (a stale marker took the place of the only one) gets a row of
# count 0: it replaces the row that was streamed, and the relation does not show it.
_STATEMENT = """
INSERT INTO stored_rollups
    (tenant, width_s, series_id, window_start, count, sum, min, max, first, last, increase,
     version, retention_days)
WITH
    marks AS
    (
        SELECT
            {tenants:Array(String)}[mark.1] AS tenant,
            mark.2 AS series_id,
            mark.3 AS start_ms,
            mark.4 AS retention_days
        FROM
        (
            SELECT arrayJoin(arrayZip(
                {tenant_codes:Array(UInt32)}, {series_ids:Array(UInt64)},
                {starts:Array(Int64)}, {retentions:Array(UInt16)})) AS mark
        )
    ),
    runs AS
    (
        SELECT
            tenant,
            series_id,
            time_ms,
            value,
            reinterpretAsUInt64(value) = {stale:UInt64} AS stale,
            intDiv(time_ms, {width_ms:Int64}) * {width_ms:Int64} AS start_ms,
            lagInFrame(time_ms, 1, {never:Int64}) OVER series AS time_before_ms,
            lagInFrame(value, 1) OVER series AS value_before,
            lagInFrame(reinterpretAsUInt64(value) = {stale:UInt64}, 1) OVER series AS stale_before
        FROM
        (
            SELECT tenant, series_id, toUnixTimestamp64Milli(time) AS time_ms, value
            FROM stored_samples FINAL
            WHERE tenant IN {tenants:Array(String)}
                AND series_id IN {series_ids:Array(UInt64)}
                AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
                AND time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        )
        WINDOW series AS (PARTITION BY tenant, series_id ORDER BY time_ms
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    ),
    found AS (SELECT *, 1 AS is_found FROM runs WHERE NOT stale)
SELECT
    tenant,
    {width_s:UInt32},
    series_id,
    toDateTime(intDiv(start_ms, 1000), 'UTC'),
    sum(is_found),
    sum(value),
    if(countIf(NOT isNaN(value)) = 0, nan, minIf(value, NOT isNaN(value))),
    if(countIf(NOT isNaN(value)) = 0, nan, maxIf(value, NOT isNaN(value))),
    argMin(value, time_ms),
    argMax(value, time_ms),
    sumIf(if(value >= value_before, value - value_before, value),
        time_ms - time_before_ms <= {run_ms:Int64} AND NOT stale_before),
    {version:UInt64},
    any(retention_days)
FROM marks
LEFT JOIN found USING (tenant, series_id, start_ms)
GROUP BY tenant, series_id, start_ms
HAVING sum(is_found) > 0 OR (tenant, series_id, start_ms) IN
(
    SELECT tenant, series_id, toInt64(toUnixTimestamp(window_start)) * 1000
    FROM stored_rollups
    WHERE tenant IN {tenants:Array(String)}
        AND width_s = {width_s:UInt32}
        AND series_id IN {series_ids:Array(UInt64)}
        AND window_start >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC')
        AND window_start < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
)
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A block of windows to compute again, and the offset of the rollups record it came in."""

    offset: int
    block: RecomputeBlock


@dataclass(slots=True)
class Marks:
    """Marks not done yet, of each partition of topic rollups in the order of their offsets."""

    _by_partition: dict[int, deque[Mark]] = field(default_factory=dict)

    def add(self, partition: int, mark: Mark) -> None:
        """Remember a mark; offsets of one partition come in ascending order."""
        self._by_partition.setdefault(partition, deque()).append(mark)

    def ready(self, stored_next: dict[int, int]) -> list[tuple[int, Mark]]:
        """Return marks whose samples are stored, some MAX_WINDOWS_PER_ROUND windows at most.

        stored_next: per samples partition the first offset that is not stored.
        A partition's marks become ready in their order, so its offset can follow.
        """
        found = []
        n_windows = 0
        for partition, marks in self._by_partition.items():
            for mark in marks:
                block = mark.block
                is_stored = stored_next.get(block.samples_partition, -1) > block.samples_offset
                if not is_stored or n_windows >= MAX_WINDOWS_PER_ROUND:
                    break
                found.append((partition, mark))
                n_windows += block.n_windows()
        return found

    def done(self, marks: Iterable[tuple[int, Mark]]) -> None:
        """Forget marks that `ready` gave."""
        for partition, mark in marks:
            first = self._by_partition[partition].popleft()
            if first is not mark:
                raise RuntimeError(f"mark of offset {mark.offset} done before {first.offset}")

    def first_offset(self, partition: int, default: int) -> int:
        """Return the offset that the partition's commit must not pass."""
        marks = self._by_partition.get(partition)
        return marks[0].offset if marks else default

    def oldest_receive_ms(self, partition: int) -> int | None:
        """Return the receive time of the oldest mark of the partition, None without marks."""
        marks = self._by_partition.get(partition)
        return min(mark.block.receive_ms for mark in marks) if marks else None

    def n_windows(self, partition: int) -> int:
        """Return how many windows the partition waits for."""
        return sum(mark.block.n_windows() for mark in self._by_partition.get(partition, ()))

    def clear(self) -> None:
        """Forget all: the partitions begin again at their committed offsets."""
        self._by_partition.clear()


def recompute(client: Client, blocks: Sequence[RecomputeBlock], version: int) -> int:
    """Compute the windows from the stored samples and write them; return how many were asked for.

    version: above that of every row to be replaced.
    """
    n_windows = 0
    for width_s in sorted({block.width_s for block in blocks}):
        columns = _columns([block for block in blocks if block.width_s == width_s])
        for group in _groups(columns):
            client.command(_STATEMENT, parameters=_parameters(width_s, group, version))
            n_windows += len(group.starts_ms)
    return n_windows


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of one width as columns, each once; tenant codes count from 1, as SQL arrays do."""

    tenants: list[str]
    codes: np.ndarray
    series_ids: np.ndarray
    starts_ms: np.ndarray
    retentions: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "_Windows":
        return _Windows(
            self.tenants,
            self.codes[rows],
            self.series_ids[rows],
            self.starts_ms[rows],
            self.retentions[rows],
        )


def _columns(blocks: Sequence[RecomputeBlock]) -> _Windows:
    """Return the blocks' windows without repeats, in the order of their start."""
    tenants = sorted({block.tenant for block in blocks})
    lengths = [block.n_windows() for block in blocks]
    rows = np.empty(
        sum(lengths), dtype=[("start", "i8"), ("code", "i8"), ("series", "u8"), ("days", "i8")]
    )
    rows["start"] = np.concatenate([_starts_ms(block) for block in blocks])
    rows["code"] = np.repeat([tenants.index(block.tenant) + 1 for block in blocks], lengths)
    rows["series"] = np.concatenate(
        [np.repeat(block.series_ids, _n_windows(block)) for block in blocks]
    )
    rows["days"] = np.repeat([block.retention_days for block in blocks], lengths)
    rows = np.unique(rows)
    return _Windows(tenants, rows["code"], rows["series"], rows["start"], rows["days"])


def _n_windows(block: RecomputeBlock) -> np.ndarray:
    counts: np.ndarray = (block.last_ms - block.first_ms) // (block.width_s * 1000) + 1
    return counts


def _starts_ms(block: RecomputeBlock) -> np.ndarray:
    """Return the start of each window of each stretch."""
    counts = _n_windows(block)
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts: np.ndarray = np.repeat(block.first_ms, counts) + steps * block.width_s * 1000
    return starts


def _groups(windows: _Windows) -> Iterator[_Windows]:
    """Split by day, so that a statement reads one day's parts, and by number."""
    days = windows.starts_ms // _DAY_MS
    bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, end in pairwise(bounds):
        for first in range(start, end, MAX_WINDOWS_PER_STATEMENT):
            yield windows.take(slice(first, min(first + MAX_WINDOWS_PER_STATEMENT, end)))


def _parameters(width_s: int, windows: _Windows, version: int) -> dict[str, object]:
    width_ms = width_s * 1000
    return {
        "tenants": windows.tenants,
        "tenant_codes": windows.codes.tolist(),
        "series_ids": windows.series_ids.tolist(),
        "starts": windows.starts_ms.tolist(),
        "retentions": windows.retentions.tolist(),
        "stale": int(STALE_MARKER_BITS),
        "width_ms": width_ms,
        "width_s": width_s,
        "from_ms": max(0, int(windows.starts_ms.min()) - RUN_MS),
        "to_ms": int(windows.starts_ms.max()) + width_ms,
        "run_ms": RUN_MS,
        "never": -(1 << 60),
        "version": version,
    }

"""From what the window engine closed to records of the two topics that the store reads them from.

Topic rollups is the live lane: rows, windows of the current hour to compute again, and closes. What
is older goes to the backfill lane, so that a backfill of days never stands before live windows.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.rows import Rows
from pipeline.stretches import split_at, split_every
from pipeline.windows import Closed
from schemas.rollups import Block, CloseBlock, RecomputeBlock, RollupBlock, encode_rollups
from schemas.topics import ALL_SERIES, Topic, series_range

BACKFILL_LANE = Topic.RECOMPUTE
LANES = (Topic.ROLLUPS, Topic.RECOMPUTE)

_BYTES_PER_RECORD = 700_000
_BYTES_PER_ROW, _BYTES_PER_ENTRY, _BYTES_PER_STRETCH = 80, 4, 24
# The store works on a record's windows as one: a bound for its memory.
_WINDOWS_PER_RECORD = 50_000
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_COLUMNS = ("window_ms", "series_id", "count", "sum", "min", "max", "first", "last", "increase")

Record = tuple[Topic, bytes]


def records_of(closed: Iterable[Closed], partition: int, offset: int) -> Iterator[Record]:
    """Yield topic and content of each record, of a bounded size, in the order to be sent.

    partition, offset: of the samples record that closed it all. Rows and closes of several tenants
    share a record; marks are records by themselves.
    """
    held: list[bytes] = []
    n_bytes = 0
    for topic, block in _blocks_of(closed, partition, offset):
        encoded = encode_rollups([block])
        is_mark = isinstance(block, RecomputeBlock)
        if held and (is_mark or n_bytes + len(encoded) > _BYTES_PER_RECORD):
            yield Topic.ROLLUPS, b"".join(held)
            held, n_bytes = [], 0
        if is_mark:
            yield topic, encoded
        else:
            held.append(encoded)
            n_bytes += len(encoded)
    if held:
        yield Topic.ROLLUPS, b"".join(held)


def _blocks_of(
    all_closed: Iterable[Closed], partition: int, offset: int
) -> Iterator[tuple[Topic, Block]]:
    for closed in all_closed:
        for rows in _cut_rows(closed.rows):
            yield Topic.ROLLUPS, _row_block(closed, rows)
        hour_ms = closed.closed_until_ms // _HOUR_MS * _HOUR_MS
        old, live = split_at(closed.stretches, hour_ms, closed.width_ms)
        for topic, stretches in ((BACKFILL_LANE, old), (Topic.ROLLUPS, live)):
            for some in _cut_stretches(stretches, closed.width_ms):
                yield topic, _recompute_block(closed, some, partition, offset)
        for close in _close_blocks(closed, partition):
            yield Topic.ROLLUPS, close


def _cut_rows(rows: Rows) -> Iterator[Rows]:
    costs = _BYTES_PER_ROW + _BYTES_PER_ENTRY * rows.sketch_lengths.astype(np.int64)
    for start, end in _runs(costs, _BYTES_PER_RECORD):
        yield rows.cut(start, end)


def _cut_stretches(stretches: NDArray[np.void], width_ms: int) -> Iterator[NDArray[np.void]]:
    by_day = split_every(stretches, _DAY_MS, width_ms)
    n_windows = (by_day["last_ms"] - by_day["first_ms"]) // width_ms + 1
    # Whichever is reached first, windows or bytes.
    least = _WINDOWS_PER_RECORD * _BYTES_PER_STRETCH // _BYTES_PER_RECORD + 1
    for start, end in _runs(np.maximum(n_windows, least), _WINDOWS_PER_RECORD):
        yield by_day[start:end]


def _runs(costs: NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs whose costs add up to little more than the limit at most."""
    if len(costs):
        run = np.cumsum(costs) // limit
        bounds = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(costs)]
        yield from pairwise(bounds)


def _row_block(closed: Closed, rows: Rows) -> RollupBlock:
    columns: list[Any] = [np.ascontiguousarray(rows.rows[name]) for name in _COLUMNS]
    head = (closed.tenant, closed.receive_ms, closed.retention_days, closed.width_ms // 1000)
    columns += [rows.sketch_lengths, rows.sketch]
    return RollupBlock(*head, *columns)


def _recompute_block(
    closed: Closed, stretches: NDArray[np.void], partition: int, offset: int
) -> RecomputeBlock:
    return RecomputeBlock(
        closed.tenant,
        closed.receive_ms,
        closed.retention_days,
        closed.width_ms // 1000,
        closed.flags,
        partition,
        offset,
        closed.closed_until_ms,
        np.ascontiguousarray(stretches["series_id"]),
        np.ascontiguousarray(stretches["first_ms"]),
        np.ascontiguousarray(stretches["last_ms"]),
    )


def _close_blocks(closed: Closed, partition: int) -> Iterator[CloseBlock]:
    head = (closed.tenant, closed.receive_ms, closed.retention_days)
    for one in closed.closes:
        n = one.n_partitions
        ids = series_range(partition, n) if partition < n else ALL_SERIES
        yield CloseBlock(*head, one.width_ms // 1000, *ids, one.from_ms, one.until_ms)

"""Turns decoded blocks into the Arrow tables that the store takes, by whole arrays."""

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.label_columns import labels_of
from pipeline.ordering import order_by_series
from schemas.rollups import RollupBlock
from schemas.samples import SampleBlock
from schemas.series import SeriesBlock

_DAY_MS = 86_400_000
_MS = pa.timestamp("ms", tz="UTC")
SECONDS = pa.timestamp("s", tz="UTC")

# An insert that touches more parts than this is refused by the engine; each part is a
# retention and a day.
MAX_PARTS = 100

SUMMARIES = ("sum", "min", "max", "first", "last", "increase")


_Number = TypeVar("_Number", bound=np.generic)


class _Block(Protocol):
    """What the blocks of all topics have in common."""

    @property
    def tenant(self) -> str: ...

    @property
    def retention_days(self) -> int: ...

    def __len__(self) -> int: ...


def samples_table(blocks: Sequence[SampleBlock]) -> pa.Table:
    """Return rows of table stored_samples by tenant and series, each series in the order given.

    In this order the engine need not sort them, which costs it ten times as much.
    """
    blocks = sorted(blocks, key=lambda block: block.tenant)
    ids = np.concatenate([block.series_ids for block in blocks])
    order = _order_withintenants_of(blocks, ids)
    times = np.concatenate([block.times_ms for block in blocks])
    return pa.table(
        {
            "tenant": tenants_of(blocks),
            "series_id": ids[order],
            "time": pa.array(times[order], type=_MS),
            "value": np.concatenate([block.values for block in blocks])[order],
            "retention_days": retentions_of(blocks)[order],
        }
    )


def rollups_table(blocks: Sequence[RollupBlock]) -> pa.Table:
    """Return rows of table stored_rollups as streamed (version 0), in the order given."""
    starts = np.concatenate([block.window_starts_ms for block in blocks])
    columns = {
        "tenant": tenants_of(blocks),
        "width_s": of_blocks(blocks, [block.width_s for block in blocks], np.uint32),
        "series_id": np.concatenate([block.series_ids for block in blocks]),
        "window_start": pa.array(starts // 1000, type=SECONDS),
        "count": np.concatenate([block.counts for block in blocks]).astype(np.uint64),
    }
    for name in SUMMARIES:
        columns[name] = np.concatenate([getattr(block, f"{name}s") for block in blocks])
    columns["sketch"] = sketch_column(
        np.concatenate([block.sketch_lengths for block in blocks]),
        np.concatenate([block.sketch for block in blocks]),
    )
    columns["version"] = np.zeros(len(starts), dtype=np.uint64)
    columns["retention_days"] = retentions_of(blocks)
    return pa.table(columns)


def sketch_column(lengths: NDArray[np.uint32], sketch: NDArray[np.uint32]) -> pa.ListArray:
    """Return sketches that stand one after the other as a column of lists."""
    bounds = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=bounds[1:])
    return pa.ListArray.from_arrays(bounds, sketch)


def series_table(blocks: Sequence[SeriesBlock]) -> pa.Table:
    """Return rows of table stored_series, in the order given."""
    seen = pa.array(of_blocks(blocks, [block.receive_ms for block in blocks], np.int64), type=_MS)
    metrics, labels = zip(*map(_metrics_and_labels, blocks), strict=True)
    return pa.table(
        {
            "tenant": tenants_of(blocks),
            "metric": pa.concat_arrays(metrics),
            "series_id": np.concatenate([block.series_ids for block in blocks]),
            "labels": pa.concat_arrays(labels),
            "type": np.concatenate([block.types for block in blocks]).astype(np.int8),
            "unit": [unit for block in blocks for unit in block.units],
            "first_seen": seen,
            "last_seen": seen,
            "retention_days": retentions_of(blocks),
        }
    )


def split_by_parts(table: pa.Table, time_column: str) -> list[pa.Table]:
    """Split a table so that none touches more than MAX_PARTS parts; rows keep their order.

    Rows of one key share a part, hence a piece, so the last of them stays the last.
    """
    per_day = _DAY_MS if table.schema.field(time_column).type == _MS else _DAY_MS // 1000
    days = table[time_column].to_numpy().astype(np.int64) // per_day
    n_retentions = len(np.unique(table["retention_days"].to_numpy()))
    if len(days) == 0 or days.max() - days.min() + 1 <= MAX_PARTS // n_retentions:
        return [table]
    parts = days * 65_536 + table["retention_days"].to_numpy()
    distinct, part_of_row = np.unique(parts, return_inverse=True)
    return [
        table.filter((part_of_row >= first) & (part_of_row < first + MAX_PARTS))
        for first in range(0, len(distinct), MAX_PARTS)
    ]


def _order_withintenants_of(blocks: Sequence[_Block], ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the stable order by series of each tenant's rows; blocks are sorted by tenant."""
    order, at = [], 0
    for _, of_tenant in groupby(blocks, key=lambda block: block.tenant):
        n_rows = sum(map(len, of_tenant))
        order.append(at + order_by_series(ids[at : at + n_rows]))
        at += n_rows
    return np.concatenate(order)


def of_blocks(
    blocks: Sequence[_Block], values: Sequence[int], dtype: type[_Number]
) -> NDArray[_Number]:
    """Return for each row what is its block's."""
    return np.repeat(np.array(values, dtype=dtype), [len(block) for block in blocks])


def retentions_of(blocks: Sequence[_Block]) -> NDArray[np.uint16]:
    """Return each row's retention in days."""
    return of_blocks(blocks, [block.retention_days for block in blocks], np.uint16)


def tenants_of(blocks: Sequence[_Block]) -> pa.DictionaryArray:
    """Return each row's tenant."""
    codes: dict[str, int] = {}
    of_block = [codes.setdefault(block.tenant, len(codes)) for block in blocks]
    return pa.DictionaryArray.from_arrays(of_blocks(blocks, of_block, np.int32), list(codes))


def _metrics_and_labels(block: SeriesBlock) -> tuple[pa.StringArray, pa.MapArray]:
    names, values, is_metric = labels_of(block)
    others = pa.array(~is_metric)
    bounds = np.zeros(len(block) + 1, dtype=np.int32)
    # Each series has exactly one metric among its labels: see check_series.
    np.cumsum(block.label_counts.astype(np.int32) - 1, out=bounds[1:])
    labels = pa.MapArray.from_arrays(bounds, names.filter(others), values.filter(others))
    return values.filter(pa.array(is_metric)), labels

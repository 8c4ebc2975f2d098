"""Rows for tests of the store: written by the archive's own tables, read by an analyst's handle."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.samples import SampleBlock
from schemas.series import Announcement, MetricType, series_block
from topology.store.client import Engine
from topology.store.columns import samples_table, series_table

RETENTION_DAYS = 3650
NOON_MS = 1_800_000_000_000  # A whole hour, on a day of its own.


def new_tenant() -> str:
    """Return the name of a tenant of its own."""
    return f"tenant-{uuid.uuid4().hex[:12]}"


def sample_block(
    tenant: str, rows: Sequence[tuple[int, int, float]], retention_days: int = RETENTION_DAYS
) -> SampleBlock:
    """Return a block of (series id, time in ms, value)."""
    ids, times, values = zip(*rows, strict=True) if rows else ((), (), ())
    return SampleBlock(
        tenant,
        NOON_MS,
        retention_days,
        np.array(ids, dtype=np.uint64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


def store_samples(engine: Engine, block: SampleBlock) -> None:
    """Insert a block's samples."""
    engine.writer.insert_arrow("stored_samples", samples_table([block]))


def store_series(
    engine: Engine,
    tenant: str,
    series: Mapping[int, Mapping[str, str]],
    *,
    seen_ms: int = NOON_MS,
    metric_type: MetricType = MetricType.UNKNOWN,
    unit: str = "",
) -> None:
    """Insert series by id, with their labels."""
    announced = [Announcement(key, labels, metric_type, unit) for key, labels in series.items()]
    block = series_block(tenant, seen_ms, RETENTION_DAYS, announced)
    engine.writer.insert_arrow("stored_series", series_table([block]))


def read(engine: Engine, tenant: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement as the tenant."""
    with engine.reader(tenant) as client:
        return [tuple(row) for row in client.query(sql).result_rows]

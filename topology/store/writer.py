"""Writes batches into the store: blocking, so it runs in the archive's thread."""

import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from schemas.rollups import RecomputeBlock
from topology.metrics import Metrics
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.columns import rollups_table, samples_table, series_table, split_by_parts
from topology.store.recompute import recompute


class Writer:
    """Inserts and recomputes. Every write is an upsert, so a batch may be written again."""

    def __init__(self, engine: Engine, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._metrics = metrics
        self._now_ms = now_ms
        self._version = 0

    def insert(self, batch: Batch) -> None:
        """Insert the batch's rows, series first, so that a sample finds its labels."""
        if batch.series:
            self._insert("stored_series", [series_table(batch.series)])
        if batch.samples:
            table = samples_table(batch.samples)
            self._insert("stored_samples", split_by_parts(table, "time"))
            self._metrics.samples_stored.inc(table.num_rows)
        if batch.rollups:
            table = rollups_table(batch.rollups)
            self._insert("stored_rollups", split_by_parts(table, "window_start"))

    def recompute(self, blocks: Sequence[RecomputeBlock]) -> None:
        """Compute the windows of the blocks again; later rows win over earlier ones."""
        # Never the same version twice, even when the clock is set back.
        self._version = max(self._version + 1, self._now_ms())
        n_windows = recompute(self._engine.writer, blocks, self._version)
        self._metrics.windows_recomputed.inc(n_windows)

    def _insert(self, name: str, tables: list[pa.Table]) -> None:
        seconds = self._metrics.store_insert.labels(name)
        for table in tables:
            started = time.perf_counter()
            self._engine.writer.insert_arrow(name, table)
            seconds.observe(time.perf_counter() - started)

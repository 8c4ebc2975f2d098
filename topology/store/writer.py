"""Writes into the store: blocking, so it runs in the archive's thread. Every write is an upsert."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.rollups import encode_rollups
from schemas.samples import encode_samples
from schemas.series import encode_series
from schemas.topics import Topic
from topology.metrics import Metrics
from topology.store import coarse
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.coarse import Closes
from topology.store.columns import rollups_table, samples_table, series_table, split_by_parts
from topology.store.recompute import recompute
from topology.store.refused import Refused, insert_halving, is_transient
from topology.store.stretch_parts import Part
from topology.store.window_tables import TenantRows, windows_table


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the blocks of a topic are stored; time: the column that decides on a row's part."""

    topic: Topic
    table: str
    time: str | None
    to_table: Callable[[Sequence[Any]], pa.Table]
    encode: Callable[[Sequence[Any]], bytes]


# Series first, so that a sample finds its labels.
_KINDS = (
    _Kind(Topic.SERIES, "stored_series", None, series_table, encode_series),
    _Kind(Topic.SAMPLES, "stored_samples", "time", samples_table, encode_samples),
    _Kind(Topic.ROLLUPS, "stored_rollups", "window_start", rollups_table, encode_rollups),
)
_NEWER = "SELECT max(version) FROM stored_rollups WHERE version > {now_ms:UInt64}"


class Writer:
    """Inserts rows as they came (version 0), and windows computed here.

    Of two computations of a window the later one has the higher version, so it stays, whatever
    is inserted again after a crash.
    """

    def __init__(self, engine: Engine, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._metrics = metrics
        self._now_ms = now_ms
        self._version = 0

    @property
    def _client(self) -> Client:
        return self._engine.writer

    def renew(self) -> None:
        """Take a new handle after a failure, whose output an embedded engine would give next."""
        self._engine.renew_writer()

    def catch_up(self) -> None:
        """Go on above all stored versions, though the clock was set back or another's is ahead."""
        rows = self._client.query(_NEWER, parameters={"now_ms": self._now_ms()}).result_rows
        self._version = max(self._version, int(rows[0][0]))

    def insert(self, batch: Batch) -> list[Refused]:
        """Insert the batch's rows; return those that the store refuses."""
        refused: list[Refused] = []
        for kind in _KINDS:
            if blocks := batch.blocks(kind.topic):
                for at, reason in self._insert_blocks(kind, blocks):
                    place = batch.places[kind.topic][at]
                    refused.append((place, kind.encode([blocks[at]]), reason))
        return refused

    def recompute(self, part: Part) -> None:
        """Compute marked windows again from the stored samples, and coarser ones with them."""
        recompute(self._client, part, self._write_windows)
        self._metrics.windows_recomputed.inc(part.n_windows())

    def split_closes(self, closes: Closes, pieces: list[Closes]) -> None:
        """Put into `pieces` what can be made one after the other in bounded memory."""
        pieces[:] = coarse.split(self._client, closes)

    def make_coarse(self, piece: Closes) -> None:
        """Make coarse windows of the stored finer ones."""
        found = coarse.make(self._client, piece)
        self._write_windows(piece.width_s, piece.retention_days, found)
        n_rows = sum(len(rows) for _, rows in found)
        self._metrics.windows_closed.labels(piece.width_s).inc(n_rows)

    def _write_windows(self, width_s: int, retention_days: int, found: list[TenantRows]) -> None:
        found = [one for one in found if len(one[1])]
        if found:
            self._version = max(self._version + 1, self._now_ms())
            table = windows_table(found, width_s, self._version, retention_days)
            self._insert("stored_rollups", split_by_parts(table, "window_start"))

    def _insert_blocks(self, kind: _Kind, blocks: Sequence[Any]) -> list[tuple[int, str]]:
        def insert(some: Sequence[Any]) -> None:
            table = kind.to_table(some)
            tables = [table] if kind.time is None else split_by_parts(table, kind.time)
            self._insert(kind.table, tables)
            if kind.topic == Topic.SAMPLES:
                self._metrics.samples_stored.inc(table.num_rows)

        try:
            insert(blocks)
        except ClickHouseError as error:
            if is_transient(error):
                raise
        else:
            return []
        # Not even no rows: then it is the table, and none of them is to blame.
        self._client.insert_arrow(kind.table, kind.to_table(blocks).slice(0, 0))
        refused = insert_halving(insert, blocks)
        self.renew()
        return refused

    def _insert(self, name: str, tables: list[pa.Table]) -> None:
        seconds = self._metrics.store_insert.labels(name)
        for table in tables:
            started = time.perf_counter()
            self._client.insert_arrow(name, table)
            seconds.observe(time.perf_counter() - started)

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
from schemas.scores import encode_scores
from schemas.series import encode_series
from schemas.topics import Topic
from topology.metrics import Metrics
from topology.store import coarse
from topology.store.batch import MAX_ROWS, Batch
from topology.store.client import Engine
from topology.store.coarse import Closes, halves
from topology.store.columns import rollups_table, samples_table, series_table, split_by_parts
from topology.store.news import News
from topology.store.recompute import recompute
from topology.store.refused import Refused, insert_halving, is_out_of_memory, is_transient
from topology.store.score_columns import anomalous_table, scores_table
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
    _Kind(Topic.SCORES, "stored_scores", "window_start", scores_table, encode_scores),
    _Kind(Topic.SCORES, "stored_anomalous", "window_start", anomalous_table, encode_scores),
)
# An insert of fewer rows takes hardly less memory.
_LEAST_ROWS = 4_000
_NEWER = "SELECT max(version) FROM stored_rollups WHERE version > {now_ms:UInt64}"


class Writer:
    """Inserts rows as they came (version 0), and windows computed here.

    Of two computations of a window the later one has the higher version, so it stays, whatever
    is inserted again after a crash. What does not fit the engine's memory is done in halves.
    """

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        now_ms: Callable[[], int],
        news: News | None = None,
    ) -> None:
        """Write into an engine. news: is told of scores that are stored."""
        self._engine = engine
        self._news = news
        self._metrics = metrics
        self._now_ms = now_ms
        self._version = 0
        self._rows_at_once = MAX_ROWS

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
        self._rows_at_once = min(2 * self._rows_at_once, MAX_ROWS)
        for kind in _KINDS:
            if blocks := batch.blocks(kind.topic):
                for at, reason in self._insert_blocks(kind, blocks):
                    place = batch.places[kind.topic][at]
                    refused.append((place, kind.encode([blocks[at]]), reason))
        if self._news is not None:
            self._news.note(batch.scores)
        return refused

    def recompute(self, part: Part) -> None:
        """Compute marked windows again from the stored samples, and coarser ones with them."""
        try:
            recompute(self._client, part, self._write_windows)
        except ClickHouseError as error:
            parts = part.halves()
            if not is_out_of_memory(error) or len(parts) == 1:
                raise
            self.renew()
            for half in parts:
                self.recompute(half)
            return
        self._metrics.windows_recomputed.inc(part.n_windows())

    def split_closes(self, closes: Closes, pieces: list[Closes]) -> None:
        """Put into `pieces` what can be made one after the other in bounded memory."""
        pieces[:] = coarse.split(self._client, closes)

    def make_coarse(self, piece: Closes) -> None:
        """Make coarse windows of the stored finer ones."""
        try:
            found = coarse.make(self._client, piece)
        except ClickHouseError as error:
            pieces = halves(piece)
            if not is_out_of_memory(error) or len(pieces) == 1:
                raise
            self.renew()
            for half in pieces:
                self.make_coarse(half)
            return
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
            at = 0
            while at < table.num_rows:
                rows = table.slice(at, self._rows_at_once)
                started = time.perf_counter()
                if self._insert_if_it_fits(name, rows):
                    at += rows.num_rows
                    seconds.observe(time.perf_counter() - started)

    def _insert_if_it_fits(self, name: str, rows: pa.Table) -> bool:
        """Insert the rows; if the engine's memory does not suffice, let the next ones be fewer."""
        try:
            self._client.insert_arrow(name, rows)
        except ClickHouseError as error:
            if not is_out_of_memory(error) or rows.num_rows <= _LEAST_ROWS:
                raise
            self._rows_at_once = max(rows.num_rows // 2, _LEAST_ROWS)
            self.renew()
            return False
        return True

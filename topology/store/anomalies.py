"""Groups stored anomalous windows into events, again whenever there are new ones.

Series of one event stand on several partitions, so it is not the score stage that groups. Events
are made anew from the stored windows, six hours at a time, in a pass that begins six hours before:
so they are the same whichever process makes them, how often, and after a crash; the computation
that saw most windows stays, and takes back what it does not find any more.
"""

import asyncio
import time
from functools import partial

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from pipeline.anomaly.grouping.events import END_AFTER_S, group
from pipeline.anomaly.grouping.surprise import DAY_S
from pipeline.anomaly.grouping.windows import QUIET_S, Traits
from topology.runtime import Context
from topology.store.anomaly_rows import (
    anomalies_table,
    deleted_table,
    read_labels,
    read_since,
    read_stored,
    read_windows,
)
from topology.store.client import Engine
from topology.store.news import News

SLOT_S = 21_600
# A window changes the events of its own time, of those that have begun so long before, and, as a
# part of what is usual, of a day after it.
_BEFORE_S, _AFTER_S = END_AFTER_S, DAY_S
# A pause is at least so many times as long as the work before it.
_EVERY_S, _IDLE_SHARE = 5.0, 20.0
# Some 300 bytes each.
_MAX_LABELS = 100_000

# Without the time of day: a tenant may send yesterday's samples.
_NEWEST = """
    SELECT toUnixTimestamp(max(window_start)) FROM stored_anomalous WHERE tenant = {tenant:String}
    """
_RECENT = """
    SELECT tenant, toUnixTimestamp(max(window_start)) FROM stored_anomalous GROUP BY tenant
    """


class Grouping:
    """Makes events of tenants' windows; blocking, one at a time."""

    def __init__(self) -> None:
        # By series id, which tells tenants apart, too.
        self._labels: dict[int, dict[str, str]] = {}

    def update(self, client: Client, tenant: str, first_s: int, last_s: int) -> int:
        """Make the events anew that windows of this span may change; return how many there are."""
        first_slot = (first_s - _BEFORE_S) // SLOT_S
        last_slot = (last_s + _AFTER_S) // SLOT_S
        newest_s = self._newest_s(client, tenant)
        slots = range(first_slot, min(last_slot, newest_s // SLOT_S) + 1)
        return sum(self._make(client, tenant, slot * SLOT_S) for slot in slots)

    def recent(self, client: Client) -> dict[str, tuple[int, int]]:
        """Return each tenant's last day that has windows: a crash may have left it as it was."""
        rows = client.query(_RECENT).result_rows
        return {tenant: (newest_s - DAY_S, newest_s) for tenant, newest_s in rows}

    def _newest_s(self, client: Client, tenant: str) -> int:
        rows = client.query(_NEWEST, parameters={"tenant": tenant}).result_rows
        return int(rows[0][0])

    def _make(self, client: Client, tenant: str, slot_s: int) -> int:
        span_s, begin_s = (slot_s, slot_s + SLOT_S), slot_s - SLOT_S
        known_s = (begin_s - DAY_S - QUIET_S, span_s[1] + END_AFTER_S)
        found = read_windows(client, tenant, known_s)
        stored = read_stored(client, tenant, span_s)
        if not len(found.windows) and not stored:
            return 0
        labels = self._labels_of(client, tenant, found.series_ids)
        anomalies = group(
            found.windows,
            Traits.build(labels),
            found.series_ids,
            read_since(client, tenant, known_s),
            span_s,
            begin_s,
        )
        gone = sorted(stored - {(one.start_s, one.id) for one in anomalies})
        # Of two stores that group at the same time, the one that saw more windows is right.
        version = len(found.windows)
        for table in (
            anomalies_table(tenant, anomalies, labels, found.retention_days),
            deleted_table(tenant, gone, found.retention_days),
        ):
            if table.num_rows:
                versions = pa.array([version] * table.num_rows, type=pa.uint64())
                client.insert_arrow("stored_anomalies", table.append_column("version", versions))
        return len(anomalies)

    def _labels_of(
        self, client: Client, tenant: str, series_ids: NDArray[np.uint64]
    ) -> list[dict[str, str]]:
        """Return the labels of each series, nothing for one that is not announced yet."""
        ids = series_ids.tolist()
        unknown = np.array([one for one in ids if one not in self._labels], dtype=np.uint64)
        if len(self._labels) + len(unknown) > _MAX_LABELS:
            self._labels.clear()
            unknown = series_ids
        if len(unknown):
            self._labels |= read_labels(client, tenant, unknown)
        return [self._labels.get(one, {}) for one in ids]


async def watch_anomalies(context: Context, engine: Engine, news: News) -> None:
    """Group what is new, until cancelled."""
    grouping = Grouping()
    for tenant, span in (await _until_read(context, engine, grouping)).items():
        news.add(tenant, *span)
    while True:
        began_s, spans = time.monotonic(), news.take()
        for tenant, span in spans.items():
            work = partial(_update, grouping, tenant, span)
            try:
                await asyncio.to_thread(engine.operate, work)
            except ClickHouseError as error:
                context.log.warning("anomalies not grouped", tenant=tenant, error=str(error))
                news.add(tenant, *span)
        await asyncio.sleep(max(_EVERY_S, _IDLE_SHARE * (time.monotonic() - began_s)))


async def _until_read(
    context: Context, engine: Engine, grouping: Grouping
) -> dict[str, tuple[int, int]]:
    while True:
        try:
            return await asyncio.to_thread(engine.operate, grouping.recent)
        except ClickHouseError as error:
            context.log.warning("anomalies not grouped", error=str(error))
            await asyncio.sleep(_EVERY_S)


def _update(grouping: Grouping, tenant: str, span: tuple[int, int], client: Client) -> int:
    return grouping.update(client, tenant, *span)

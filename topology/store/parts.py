"""Watches parts and merges: inserts slow down before the engine would delay or refuse them."""

import asyncio
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.runtime import Context
from topology.store.client import Engine
from topology.store.gate import Gate

CHECK_EVERY_S = 10.0
# From half of the engine's own limit on, up to this at the limit itself.
LONGEST_PAUSE_S = 10.0

_PARTS = """
SELECT table, sum(n), max(n), argMax(partition_id, n)
FROM (
    SELECT table, partition_id, count() AS n
    FROM system.parts
    WHERE database = currentDatabase() AND active AND table LIKE 'stored_%'
    GROUP BY table, partition_id
)
GROUP BY table
"""
_MERGES = "SELECT count() FROM system.merges WHERE database = currentDatabase()"
_MEMORY = "SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'"
_LIMIT = "SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = {name:String}"


@dataclass(frozen=True, slots=True)
class TableParts:
    """Active parts of a table, and of its partition that has most of them."""

    table: str
    n_parts: int
    n_fullest: int
    fullest: str


def parts_of(client: Client) -> list[TableParts]:
    """Return the parts of every table of the store."""
    return [TableParts(*row) for row in client.query(_PARTS).result_rows]


def count_merges(client: Client) -> int:
    """Return how many merges run."""
    return int(client.query(_MERGES).result_rows[0][0])


def tracked_bytes(client: Client) -> int:
    """Return how much memory the engine has taken, by its own account."""
    return int(client.query(_MEMORY).result_rows[0][0])


def delay_limit(client: Client) -> int:
    """Return with how many parts of one partition the engine begins to delay inserts."""
    found = client.query(_LIMIT, parameters={"name": "parts_to_delay_insert"})
    return int(found.result_rows[0][0])


def pause_s(n_fullest: int, limit: int) -> float:
    """Return how long to wait before each write: 0 up to half of the limit, then ever longer."""
    beyond_half = (n_fullest - limit / 2) / (limit / 2)
    return LONGEST_PAUSE_S * min(max(beyond_half, 0.0), 1.0)


async def watch_parts(context: Context, engine: Engine, gate: Gate) -> None:
    """Export the numbers of parts and merges and set the gate's pause, until cancelled."""
    while True:
        try:
            limit = await asyncio.to_thread(engine.operate, delay_limit)
            found = await asyncio.to_thread(engine.operate, parts_of)
            n_merges = await asyncio.to_thread(engine.operate, count_merges)
            n_bytes = await asyncio.to_thread(engine.operate, tracked_bytes)
        except ClickHouseError as error:
            context.log.warning("parts cannot be read", error=str(error))
        else:
            context.metrics.store_merges_running.set(n_merges)
            context.metrics.memory_bytes.labels("engine").set(n_bytes)
            _report(context, gate, found, limit)
        await asyncio.sleep(CHECK_EVERY_S)


def _report(context: Context, gate: Gate, found: list[TableParts], limit: int) -> None:
    for one in found:
        context.metrics.store_parts.labels(one.table).set(one.n_parts)
        context.metrics.store_parts_fullest.labels(one.table).set(one.n_fullest)
    worst = max(found, key=lambda one: one.n_fullest, default=None)
    gate.pause_s = pause_s(worst.n_fullest, limit) if worst else 0.0
    if worst is None or not gate.pause_s:
        context.health.set("parts", None)
        return
    reason = (
        f"partition {worst.fullest} of {worst.table} has {worst.n_fullest} parts, the engine "
        f"delays inserts from {limit} on: merges fall behind, each write waits {gate.pause_s:.1f} s"
    )
    context.log.warning("many parts", reason=reason)
    # Slower is not broken; from the limit on, it is.
    context.health.set("parts", reason if worst.n_fullest >= limit else None)

"""Sees to it that rows past their retention go, also where the engine's own TTL falls behind."""

import asyncio
from dataclasses import dataclass
from functools import partial

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.runtime import Context
from topology.store.client import Engine

CHECK_EVERY_S = 600.0

# The engine drops expired parts by itself, looking every hour; this long it may take.
_GRACE_HOURS = 3

# A partition is named RETENTION-YYYYMMDD and holds one day, expired when its last row is.
_OVERDUE = """
SELECT DISTINCT table, partition_id
FROM system.parts
WHERE database = currentDatabase() AND active
    AND table IN ('stored_samples', 'stored_rollups', 'stored_scores', 'stored_anomalous',
        'stored_anomalies')
    AND match(partition_id, '^[0-9]+-[0-9]{8}$')
    AND toDateTime(toDate(substring(partition_id, -8, 4) || '-' || substring(partition_id, -4, 2)
            || '-' || substring(partition_id, -2, 2)), 'UTC')
        + toIntervalDay(toUInt32(splitByChar('-', partition_id)[1]) + 1)
        + toIntervalHour({grace_hours:UInt32}) < now('UTC')
ORDER BY partition_id
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a table by the id that the engine gives it."""

    table: str
    id: str


def overdue(client: Client) -> list[Partition]:
    """Return partitions whose rows all are past their retention, with some grace."""
    found = client.query(_OVERDUE, parameters={"grace_hours": _GRACE_HOURS})
    return [Partition(*row) for row in found.result_rows]


def drop(client: Client, partitions: list[Partition]) -> None:
    """Drop partitions."""
    for partition in partitions:
        client.command(
            "ALTER TABLE {table:Identifier} DROP PARTITION ID {id:String}",
            parameters={"table": partition.table, "id": partition.id},
        )


async def watch_retention(context: Context, engine: Engine) -> None:
    """Look every ten minutes, report and drop what is overdue, until cancelled."""
    gauge = context.metrics.store_oldest_day_overdue
    while True:
        try:
            found = await asyncio.to_thread(engine.operate, overdue)
            gauge.set(1 if found else 0)
            if found:
                context.log.warning("retention overdue", partitions=[one.id for one in found])
                await asyncio.to_thread(engine.operate, partial(drop, partitions=found))
        except ClickHouseError as error:
            context.log.warning("retention check failed", error=str(error))
        await asyncio.sleep(CHECK_EVERY_S)

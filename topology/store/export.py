"""Stored rows of one tenant in bounded pieces, as Arrow and in the order of their key.

For a replay, which reads samples to feed them again and rollups to compare. A piece that is too
large for a query's limits is refused by these; the reader asks for a smaller range of ids.
"""

from dataclasses import dataclass
from typing import Any

from schemas.topics import ALL_SERIES

STATEMENTS = {
    # Of several rows of a key all count: a bound for the pieces to come.
    "sizes": """
        SELECT toUnixTimestamp(toDateTime(toDate(time), 'UTC')) AS day_s, count() AS n_samples
        FROM stored_samples
        WHERE tenant = {tenant:String}
            AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        GROUP BY day_s ORDER BY day_s
        """,
    # What a tenant had in the range, at some time at least, as it stands in no table; and up to
    # when windows are closed, at least.
    "facts": """
        SELECT
            countIf(width_s = 10) > 0 AS fine_windows,
            countIf(notEmpty(sketch)) > 0 AS sketches,
            max(toUInt64(toUnixTimestamp(window_start)) + width_s) * 1000 AS closed_until_ms
        FROM stored_rollups
        WHERE tenant = {tenant:String} AND count > 0
            AND window_start >= toDateTime(intDiv({from_ms:Int64}, 1000), 'UTC')
            AND window_start < toDateTime(intDiv({to_ms:Int64}, 1000), 'UTC')
        """,
    "samples": """
        SELECT series_id, toUnixTimestamp64Milli(time) AS time_ms, value, retention_days
        FROM stored_samples FINAL
        WHERE tenant = {tenant:String}
            AND series_id >= {first_id:UInt64} AND series_id <= {last_id:UInt64}
            AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        ORDER BY time, series_id
        """,
    # Windows that begin and end in the range.
    "rollups": """
        SELECT tenant, width_s, series_id, toUnixTimestamp(window_start) AS start_s,
            count, sum, min, max, first, last, increase, sketch
        FROM stored_rollups FINAL
        WHERE tenant = {tenant:String} AND width_s = {width_s:UInt32} AND count > 0
            AND series_id >= {first_id:UInt64} AND series_id <= {last_id:UInt64}
            AND window_start >= toDateTime(intDiv({from_ms:Int64} + 999, 1000), 'UTC')
            AND toUnixTimestamp(window_start) + width_s <= intDiv({to_ms:Int64}, 1000)
        ORDER BY series_id, window_start
        """,
    "series": """
        SELECT tenant, metric, series_id, labels, type, unit, first_seen, last_seen, retention_days
        FROM stored_series FINAL
        WHERE tenant = {tenant:String}
            AND series_id >= {first_id:UInt64} AND series_id <= {last_id:UInt64}
        """,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Which rows: of a tenant, of series of ids in [first_id, last_id], of times in [from, to)."""

    tenant: str
    from_ms: int
    to_ms: int
    first_id: int = ALL_SERIES[0]
    last_id: int = ALL_SERIES[1]
    width_s: int = 0

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        return {
            "tenant": self.tenant,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "width_s": self.width_s,
        }

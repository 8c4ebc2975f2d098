"""Reads anomalous windows and the labels of their series, and lays events out as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from pipeline.anomaly.grouping.events import Anomaly
from pipeline.anomaly.grouping.windows import AnomalousWindows
from pipeline.selectors import selector
from schemas.series import METRIC_LABEL
from topology.store.columns import SECONDS

Labels = Mapping[str, str]

# In memory some 40 bytes each.
MAX_WINDOWS = 2_000_000
# Of an event's series so many are named.
MAX_MEMBERS = 10

_OF_TENANT = (
    "tenant = {tenant:String} AND window_start >= toDateTime({from_s:Int64}, 'UTC') "
    "AND window_start < toDateTime({until_s:Int64}, 'UTC')"
)
# No FINAL: repeats are equal, and one of each is taken.
_WINDOWS = (
    "SELECT toUnixTimestamp(window_start) AS start_s, width_s, series_id, score, alarm, "  # noqa: S608 - constants
    f"retention_days FROM stored_anomalous WHERE {_OF_TENANT} "
    "ORDER BY start_s + width_s, series_id, width_s LIMIT 1 BY start_s, series_id, width_s "
    "LIMIT {most:UInt64}"
)
_SINCE = (
    "SELECT toUnixTimestamp(min(window_start)) FROM stored_scores "  # noqa: S608 - constants
    f"WHERE {_OF_TENANT} AND score > 0"
)
_LABELS = (
    "SELECT series_id, metric, CAST(labels, 'Map(String, String)') AS labels "
    "FROM stored_series FINAL "
    "WHERE tenant = {tenant:String} AND series_id IN {series_ids:Array(UInt64)}"
)
_STORED = (
    "SELECT toUnixTimestamp(start), id FROM stored_anomalies FINAL WHERE tenant = {tenant:String} "
    "AND start >= toDateTime({from_s:Int64}, 'UTC') AND start < toDateTime({until_s:Int64}, 'UTC')"
)


@dataclass(frozen=True, slots=True)
class FoundWindows:
    """Windows of a tenant. series_ids: of each series, by the index that the windows have."""

    windows: AnomalousWindows
    series_ids: NDArray[np.uint64]
    retention_days: int


def read_windows(client: Client, tenant: str, span_s: tuple[int, int]) -> FoundWindows:
    """Return the anomalous windows that start in a span, in order of their ends."""
    parameters = {"tenant": tenant, "from_s": span_s[0], "until_s": span_s[1], "most": MAX_WINDOWS}
    table = client.query_arrow(_WINDOWS, parameters=parameters)
    starts_s = table["start_s"].to_numpy().astype(np.int64)
    series_ids, series = np.unique(table["series_id"].to_numpy(), return_inverse=True)
    windows = AnomalousWindows(
        starts_s,
        starts_s + table["width_s"].to_numpy().astype(np.int64),
        series.astype(np.int64),
        table["score"].to_numpy(),
        table["alarm"].to_numpy(),
    )
    days = table["retention_days"].to_numpy()
    return FoundWindows(windows, series_ids, int(days.max(initial=1)))


def read_since(client: Client, tenant: str, span_s: tuple[int, int]) -> int:
    """Return when the first window starts that has a score, 0 where none does."""
    parameters = {"tenant": tenant, "from_s": span_s[0], "until_s": span_s[1]}
    return int(client.query(_SINCE, parameters=parameters).result_rows[0][0])


def read_labels(
    client: Client, tenant: str, series_ids: NDArray[np.uint64]
) -> dict[int, dict[str, str]]:
    """Return the labels of series, the metric among them; those not announced are left out."""
    parameters = {"tenant": tenant, "series_ids": series_ids.tolist()}
    rows = client.query(_LABELS, parameters=parameters).result_rows
    return {series_id: {METRIC_LABEL: metric, **labels} for series_id, metric, labels in rows}


def read_stored(client: Client, tenant: str, span_s: tuple[int, int]) -> set[tuple[int, int]]:
    """Return start and id of the events that are stored."""
    parameters = {"tenant": tenant, "from_s": span_s[0], "until_s": span_s[1]}
    return {
        (start_s, key) for start_s, key in client.query(_STORED, parameters=parameters).result_rows
    }


def anomalies_table(
    tenant: str, anomalies: Sequence[Anomaly], labels: Sequence[Labels], retention_days: int
) -> pa.Table:
    """Return rows of table stored_anomalies but for their version; labels: by index of series."""
    common = [dict(one.common) for one in anomalies]
    n = len(anomalies)
    members = [[selector(labels[at]) for at in one.series[:MAX_MEMBERS]] for one in anomalies]
    return pa.table(
        {
            "tenant": pa.array([tenant] * n, type=pa.string()),
            "start": pa.array([one.start_s for one in anomalies], type=SECONDS),
            "id": pa.array([one.id for one in anomalies], type=pa.uint64()),
            "end": pa.array([one.end_s for one in anomalies], type=SECONDS),
            "detected": pa.array([one.detected_s for one in anomalies], type=SECONDS),
            "peak_score": pa.array([one.peak for one in anomalies], type=pa.float32()),
            "series_count": pa.array([len(one.series) for one in anomalies], type=pa.uint32()),
            "metric": pa.array([one.pop(METRIC_LABEL, "") for one in common], type=pa.string()),
            "labels": pa.array(
                [list(one.items()) for one in common], type=pa.map_(pa.string(), pa.string())
            ),
            "members": pa.array(members, type=pa.list_(pa.string())),
            "is_deleted": pa.array([0] * n, type=pa.uint8()),
            "retention_days": pa.array([retention_days] * n, type=pa.uint16()),
        }
    )


def deleted_table(tenant: str, keys: Sequence[tuple[int, int]], retention_days: int) -> pa.Table:
    """Return rows that take events back; keys: their start and id."""
    nothing = [
        Anomaly(
            id=key, start_s=start_s, end_s=start_s, detected_s=start_s, peak=0, series=[], common=[]
        )
        for start_s, key in keys
    ]
    table = anomalies_table(tenant, nothing, [], retention_days)
    at = table.schema.get_field_index("is_deleted")
    return table.set_column(at, "is_deleted", pa.array([1] * len(keys), type=pa.uint8()))

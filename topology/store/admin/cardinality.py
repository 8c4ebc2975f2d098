"""`/api/v1/admin/cardinality`: which metrics and labels a tenant's series come from."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.active_series import WINDOW_MIN
from topology.clock import now_ms
from topology.http import authorize, measured_route, named_tenant
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, number
from topology.query_values import whole
from topology.store.admin.changes import json_response
from topology.store.queries import Queries

PATH = "/api/v1/admin/cardinality"
_MAX_MINUTES, _MAX_LIMIT = 366 * 24 * 60, 1_000
_VALUES_SHOWN = 3

_SERIES = """
    SELECT metric, series_id, labels FROM stored_series FINAL
    WHERE tenant = {tenant:String}
        AND last_seen >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
"""
_COUNTS = f"SELECT count(), uniqExact(metric) FROM ({_SERIES})"  # noqa: S608 - a constant
_METRICS = f"""
    SELECT metric, count() AS n FROM ({_SERIES})
    GROUP BY metric ORDER BY n DESC, metric LIMIT {{limit:UInt32}}
"""  # noqa: S608 - a constant
_LABELS = f"""
    SELECT pair.1 AS label, uniqExact(pair.2) AS n_values, count() AS n,
        topK({_VALUES_SHOWN})(pair.2) AS most
    FROM ({_SERIES}) ARRAY JOIN arrayZip(mapKeys(labels), mapValues(labels)) AS pair
    WHERE label != '__name__'
    GROUP BY label ORDER BY n_values DESC, label LIMIT {{limit:UInt32}}
"""  # noqa: S608 - a constant


class MetricSeries(msgspec.Struct):
    """How many series a metric has."""

    metric: str
    series: int


class LabelValues(msgspec.Struct):
    """How many values a label has, in how many series, and those that most have."""

    label: str
    values: int
    series: int
    most_frequent: list[str]


class Cardinality(msgspec.Struct):
    """Where a tenant's series come from: the metrics and labels with most, by number."""

    tenant: str
    within_min: int
    series: int
    active_series_limit: int | None
    metrics: int
    top_metrics: list[MetricSeries]
    top_labels: list[LabelValues]


_WITHIN = number("within_min", "series announced in so many minutes", most=_MAX_MINUTES)
_LIMIT = number("limit", "so many metrics and labels", most=_MAX_LIMIT)
_SPEC = Spec(
    "where a tenant's series come from",
    query=(
        Parameter("tenant", "for operators: whose"),
        _WITHIN,
        _LIMIT,
    ),
    answer=Cardinality,
)


class CardinalityApi:
    """The route: of the key's own tenant, or for an operator of any."""

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [measured_route(PATH, ["GET"], self._answer, self._metrics, spec=_SPEC)]

    async def _answer(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        tenant = named_tenant(self._ring, access, request.query_params.get("tenant"))
        within_min = whole(request, _WITHIN, WINDOW_MIN)
        parameters: dict[str, Any] = {
            "tenant": tenant.name,
            "since_ms": now_ms() - within_min * 60_000,
            "limit": whole(request, _LIMIT, 20),
        }
        ((n_series, n_metrics),) = await self._queries.operate(_COUNTS, parameters)
        metrics = await self._queries.operate(_METRICS, parameters)
        labels = await self._queries.operate(_LABELS, parameters)
        found = Cardinality(
            tenant=tenant.name,
            within_min=within_min,
            series=n_series,
            active_series_limit=tenant.active_series,
            metrics=n_metrics,
            top_metrics=[MetricSeries(*row) for row in metrics],
            top_labels=[LabelValues(*row) for row in labels],
        )
        return json_response(found)

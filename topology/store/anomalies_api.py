"""`/api/v1/anomalies`: the events of the key's tenant, the newest first."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.clock import now_ms
from topology.http import Refused, authorize, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, number
from topology.query_values import whole
from topology.store.queries import Queries, QueryFailed

PATH = "/api/v1/anomalies"
_DAY_MS = 86_400_000
_MOST = 1000
_LAST_MS = 1 << 42
_SQL = """
    SELECT start, end, peak_score, series_count, metric, labels, members, detected, id
    FROM anomalies
    WHERE start >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND start < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND series_count >= {min_series:UInt32}
    ORDER BY start DESC, id
    LIMIT {limit:UInt32}
    """


class Found(msgspec.Struct):
    """Events, by the columns of relation `anomalies`."""

    anomalies: list[dict[str, Any]]


_TIME = {
    "oneOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 1, "maximum": _LAST_MS},
    ]
}
_MIN_SERIES = number("min_series", "only those of so many series", 1, 1 << 31)
_LIMIT = number("limit", "so many", 1, _MOST)
_SPEC = Spec(
    "shows events, the newest first",
    query=(
        Parameter("from", "since when: RFC 3339, or ms since 1970", _TIME),
        Parameter("to", "until when", _TIME),
        _MIN_SERIES,
        _LIMIT,
    ),
    answer=Found,
)


class _Column(msgspec.Struct):
    name: str


class _Result(msgspec.Struct):
    columns: list[_Column]
    rows: list[list[object]]


class AnomaliesApi:
    """The route. Parameters: from and to (by default the last day, or that before to), and others.

    Times are RFC 3339, or ms since 1970.
    """

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [measured_route(PATH, ["GET"], self._answer, self._metrics, spec=_SPEC)]

    async def _answer(self, request: Request) -> Response:
        tenant = authorize(self._ring, request, "read").tenant.name
        try:
            body = await self._queries.run(tenant, _SQL, "json", _parameters(request))
        except QueryFailed as failed:
            raise Refused(failed.status, str(failed), failed.code) from None
        result = msgspec.json.decode(body, type=_Result)
        names = [column.name for column in result.columns]
        found = [dict(zip(names, row, strict=True)) for row in result.rows]
        return Response(msgspec.json.encode(Found(found)), media_type="application/json")


def _parameters(request: Request) -> dict[str, int]:
    """Return the statement's parameters. Raises Refused."""
    given = request.query_params
    to_ms = _time_ms("to", given.get("to"))
    from_ms = _time_ms("from", given.get("from"))
    if from_ms is None:
        from_ms = (to_ms or now_ms()) - _DAY_MS
    to_ms = to_ms or now_ms() + _DAY_MS
    if from_ms > to_ms:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"from={from_ms} is after to={to_ms} (ms since 1970): give the earlier time as from",
        )
    return {
        "from_ms": from_ms,
        "to_ms": to_ms,
        "min_series": whole(request, _MIN_SERIES, 1),
        "limit": whole(request, _LIMIT, 100),
    }


def _time_ms(name: str, text: str | None) -> int | None:
    if text is None or text.isdecimal():
        return None if text is None else _number(name, text, _LAST_MS)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"{name}={text!r}: RFC 3339 like 2026-01-31T08:00:00Z, or ms since 1970",
        )
    return round(time.timestamp() * 1000)


def _number(name: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}={text!r}: a number from 1 to {most}")
    return int(text)

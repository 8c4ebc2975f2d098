"""`/api/v1/admin/audit`: who did what, when and from where; the newest first."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.clock import now_ms
from topology.http import authorize, measured_route, named_past_tenant
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, number
from topology.query_values import whole
from topology.store.admin.changes import json_response, rfc3339
from topology.store.queries import Queries

PATH = "/api/v1/admin/audit"
MAX_ENTRIES = 10_000
_LAST_MS = 4_102_444_800_000
# An empty tenant: all of them.
_STATEMENT = """
    SELECT toUnixTimestamp64Milli(time), tenant, actor, actor_tenant, address, action, target,
        details
    FROM stored_audit FINAL
    WHERE ({tenant:String} = '' OR tenant = {tenant:String})
        AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY time DESC, id LIMIT {limit:UInt32}
    """


class Entry(msgspec.Struct):
    """An entry of the audit; time is RFC 3339."""

    time: str | None
    tenant: str
    actor: str
    actor_tenant: str
    address: str
    action: str
    target: str
    details: str


_FROM = number("from_ms", "since when, in ms since 1970", most=_LAST_MS)
_TO = number("to_ms", "until when", most=_LAST_MS)
_LIMIT = number("limit", "so many entries, the newest", most=MAX_ENTRIES)
_SPEC = Spec(
    "who did what, when and from where",
    query=(
        Parameter("tenant", "about whom"),
        _FROM,
        _TO,
        _LIMIT,
    ),
    answer=list[Entry],
)


class AuditApi:
    """The route. An operator sees all entries, another administrator those about its tenant."""

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [measured_route(PATH, ["GET"], self._answer, self._metrics, spec=_SPEC)]

    async def _answer(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        named = request.query_params.get("tenant")
        parameters: dict[str, Any] = {
            "tenant": named_past_tenant(self._ring, access, named) or "",
            "from_ms": whole(request, _FROM, 0),
            "to_ms": whole(request, _TO, now_ms() + 60_000),
            "limit": whole(request, _LIMIT, 100),
        }
        rows = await self._queries.operate(_STATEMENT, parameters)
        return json_response([Entry(rfc3339(row[0]), *row[1:]) for row in rows])

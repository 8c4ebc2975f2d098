"""`/api/v1/admin/audit`: who did what, when and from where; the newest first."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.clock import now_ms
from topology.http import authorize, measured_route, named_past_tenant
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.store.admin.changes import json_response, rfc3339
from topology.store.admin.numbers import number
from topology.store.queries import Queries

PATH = "/api/v1/admin/audit"
MAX_ENTRIES = 10_000
_LAST_MS = 4_102_444_800_000
_COLUMNS = ("time", "tenant", "actor", "actor_tenant", "address", "action", "target", "details")
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


_SPEC = Spec(
    "who did what, when and from where",
    query=(
        ("tenant", "about whom"),
        ("from_ms", "since when, in ms since 1970"),
        ("to_ms", "until when"),
        ("limit", "so many entries, the newest"),
    ),
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
            "from_ms": number(request, "from_ms", 0, _LAST_MS),
            "to_ms": number(request, "to_ms", now_ms() + 60_000, _LAST_MS),
            "limit": number(request, "limit", 100, MAX_ENTRIES),
        }
        rows = await self._queries.operate(_STATEMENT, parameters)
        return json_response(
            [dict(zip(_COLUMNS, (rfc3339(row[0]), *row[1:]), strict=True)) for row in rows]
        )

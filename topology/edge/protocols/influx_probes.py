"""What clients of InfluxDB ask before they write: `/ping`, `/health`, and a query for databases."""

import re
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from topology.edge.protocols.influx import key_of, refuse_1
from topology.http import Refused, authorize, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec, choice

_VERSION = version("observai-hub")
# Clients read a version of InfluxDB from it, and some compare it.
_HEADERS = {"X-Influxdb-Version": f"1.8.10-observai-{_VERSION}", "X-Influxdb-Build": "OSS"}
_MAX_FORM_BYTES = 8192
_SHOW = re.compile(r"\s*show\s+databases\s*;?\s*", re.IGNORECASE)
_CREATE = re.compile(r"\s*create\s+database\s.*", re.IGNORECASE | re.DOTALL)

_PING = Spec("says that it is there", answers=(204,), needs_key=False)
_HEALTH = Spec("says that it takes writes", answer=dict[str, Any], needs_key=False)
_QUERY = Spec(
    "names the databases that a client may write to",
    media_types=("application/x-www-form-urlencoded",),
    query=(choice("q", "what is asked", ("SHOW DATABASES", 'CREATE DATABASE "any"')),),
    answer=dict[str, Any],
)


def probe_routes(ring: KeyRing, metrics: Metrics) -> list[Route]:
    """Return the routes; only the query needs a key."""
    return [
        measured_route("/ping", ["GET", "HEAD"], _ping, metrics, spec=_PING),
        measured_route("/health", ["GET"], _health, metrics, spec=_HEALTH),
        measured_route("/query", ["GET", "POST"], partial(_query, ring), metrics, refuse_1, _QUERY),
    ]


async def _ping(_: Request) -> Response:
    return Response(status_code=204, headers=_HEADERS)


async def _health(_: Request) -> Response:
    body = {
        "name": "observai",
        "message": "ready for writes",
        "status": "pass",
        "checks": [],
        "version": _VERSION,
    }
    return JSONResponse(body, headers=_HEADERS)


async def _form_value(request: Request, name: str) -> str:
    """Return a value of an urlencoded body. Raises Refused for a long one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a query of over {_MAX_FORM_BYTES} bytes"
            )
    return parse_qs(body.decode(errors="replace")).get(name, [""])[0]


async def _query(ring: KeyRing, request: Request) -> Response:
    """Name the key's tenant as the only database; creating any is what Telegraf begins with."""
    tenant = authorize(ring, request, None, key_of(request)).tenant
    text = request.query_params.get("q")
    if text is None and request.method == "POST":
        text = await _form_value(request, "q")
    result: dict[str, object] = {"statement_id": 0}
    if _SHOW.fullmatch(text or ""):
        databases = {"name": "databases", "columns": ["name"], "values": [[tenant.name]]}
        result["series"] = [databases]
    elif not _CREATE.fullmatch(text or ""):
        message = "only SHOW DATABASES is answered here; the store role takes SQL at /api/v1/sql"
        raise Refused(HTTPStatus.BAD_REQUEST, message)
    return JSONResponse({"results": [result]}, headers=_HEADERS)

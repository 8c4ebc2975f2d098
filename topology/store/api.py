"""`/api/v1/sql`: read-only SQL over the key's tenant."""

import time
from http import HTTPStatus
from urllib.parse import parse_qs

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from topology.keys import KeyRing, key_of_request
from topology.metrics import Metrics
from topology.store.guard import MAX_SQL_CHARS, RefusedStatement, check
from topology.store.queries import FORMATS, Queries, QueryFailed

PATH = "/api/v1/sql"
_NAMES = ("query", "sql", "q")
_RETRY_AFTER_S = "1"


class _RefusedError(Exception):
    """A request that is answered with an error before any query runs."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class SqlApi:
    """The route. The statement comes as parameter `query`, as JSON, or as the body itself.

    JSON rows hold integers as they are (64 bits), NaN and infinities as the strings "nan",
    "inf", "-inf", times as ISO 8601 in UTC.
    """

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [Route(PATH, self._endpoint, methods=["GET", "POST"])]

    async def _endpoint(self, request: Request) -> Response:
        started_s = time.perf_counter()
        response = await self._answer(request)
        elapsed_s = time.perf_counter() - started_s
        self._metrics.http_request.labels(PATH, str(response.status_code)).observe(elapsed_s)
        return response

    async def _answer(self, request: Request) -> Response:
        try:
            tenant = self._authorize(request)
            sql, format_name = await _read(request)
            body = await self._queries.run(tenant, check(sql), format_name)
        except _RefusedError as refused:
            return _error(refused.status, str(refused))
        except RefusedStatement as refused:
            return _error(HTTPStatus.BAD_REQUEST, str(refused), "REFUSED_STATEMENT")
        except QueryFailed as failed:
            return _error(failed.status, str(failed), failed.code)
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(body, media_type=FORMATS[format_name].media_type)

    def _authorize(self, request: Request) -> str:
        key_text = key_of_request(request.headers)
        if key_text is None:
            raise _RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "no API key: send 'Authorization: Bearer KEY' (or Basic with the key as password)",
            )
        access = self._ring.lookup(key_text)
        if access is None:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "unknown API key")
        if "read" not in access.scopes:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "this API key lacks the scope 'read'")
        return access.tenant.name


async def _read(request: Request) -> tuple[str, str]:
    """Return the statement and the format's name."""
    fields = dict(request.query_params)
    if request.method == "POST":
        fields |= _fields_of_body(request, await _body(request))
    sql = next((fields[name] for name in _NAMES if name in fields), "")
    if not sql.strip():
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST,
            "no statement: send it as parameter 'query' or as the body, "
            "for example SELECT * FROM series LIMIT 10",
        )
    format_name = fields.get("format", "json").lower()
    if format_name not in FORMATS:
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST, f"format={format_name!r}: one of {', '.join(FORMATS)}"
        )
    return sql, format_name


async def _body(request: Request) -> str:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > 4 * MAX_SQL_CHARS:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the statement may have {MAX_SQL_CHARS} characters",
            )
    try:
        return received.decode()
    except UnicodeDecodeError:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the statement is not UTF-8") from None


def _fields_of_body(request: Request, text: str) -> dict[str, str]:
    """Read JSON or a form by its type; whatever else it is, the body is the statement."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        try:
            return msgspec.json.decode(text, type=dict[str, str])
        except msgspec.DecodeError as error:
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST, f'body is not like {{"query": "SELECT ..."}}: {error}'
            ) from None
    # curl calls any -d a form: it is one only if it has our field's name.
    if kind == "application/x-www-form-urlencoded" and text.startswith(
        (*(f"{name}=" for name in _NAMES), "format=")
    ):
        return {name: values[-1] for name, values in parse_qs(text).items()}
    return {_NAMES[0]: text} if text else {}


def _error(status: HTTPStatus, message: str, code: str | None = None) -> Response:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_S
    body = {"error": message} | ({"code": code} if code else {})
    return JSONResponse(body, status_code=status, headers=headers)

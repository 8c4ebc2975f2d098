"""`/api/v1/sql`: read-only SQL over the key's tenant."""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.http import Refused, authorize, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, choice
from topology.store.guard import MAX_SQL_CHARS, RefusedStatement, check
from topology.store.queries import FORMATS, Queries, QueryFailed

PATH = "/api/v1/sql"
_NAMES = ("query", "sql", "q")


class Column(msgspec.Struct):
    """A column of a result, with its type in ClickHouse."""

    name: str
    type: str


class Result(msgspec.Struct):
    """The result of a statement as JSON."""

    columns: list[Column]
    rows: list[list[Any]]
    elapsed_ms: float


_SPEC = Spec(
    "answers SQL over the relations of the key's tenant",
    media_types=("text/plain", "application/json", "application/x-www-form-urlencoded"),
    query=(Parameter("query", "the statement"), choice("format", "of the answer", FORMATS)),
    answer=Result,
    produces=tuple(one.media_type for name, one in FORMATS.items() if name != "json"),
)


class SqlApi:
    """The route. The statement comes as parameter `query`, as JSON, or as the body itself.

    JSON rows hold integers as they are (64 bits), NaN and infinities as the strings "nan" (or
    "-nan", as ClickHouse has it), "inf", "-inf", times as ISO 8601 in UTC.
    """

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [measured_route(PATH, ["GET", "POST"], self._answer, self._metrics, spec=_SPEC)]

    async def _answer(self, request: Request) -> Response:
        access = authorize(self._ring, request, "read")
        sql, format_name = await _read(request)
        try:
            statement = check(sql, is_admin="admin" in access.scopes)
            body = await self._queries.run(access.tenant.name, statement, format_name)
        except RefusedStatement as refused:
            raise Refused(HTTPStatus.BAD_REQUEST, str(refused), "REFUSED_STATEMENT") from None
        except QueryFailed as failed:
            raise Refused(failed.status, str(failed), failed.code) from None
        return Response(body, media_type=FORMATS[format_name].media_type)


async def _read(request: Request) -> tuple[str, str]:
    """Return the statement and the format's name."""
    fields = dict(request.query_params)
    if request.method == "POST":
        fields |= _fields_of_body(request, await _body(request))
    sql = next((fields[name] for name in _NAMES if name in fields), "")
    if not sql.strip():
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "no statement: send it as parameter 'query' or as the body, "
            "for example SELECT * FROM series LIMIT 10",
        )
    format_name = fields.get("format", "json").lower()
    if format_name not in FORMATS:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"format={format_name!r}: one of {', '.join(FORMATS)}"
        )
    return sql, format_name


async def _body(request: Request) -> str:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > 4 * MAX_SQL_CHARS:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the statement may have {MAX_SQL_CHARS} characters",
            )
    try:
        return received.decode()
    except UnicodeDecodeError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the statement is not UTF-8") from None


def _fields_of_body(request: Request, text: str) -> dict[str, str]:
    """Read JSON or a form by its type; whatever else it is, the body is the statement."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        try:
            return msgspec.json.decode(text, type=dict[str, str])
        except msgspec.DecodeError as error:
            raise Refused(
                HTTPStatus.BAD_REQUEST, f'body is not like {{"query": "SELECT ..."}}: {error}'
            ) from None
    # curl calls any -d a form: it is one only if it has our field's name.
    if kind == "application/x-www-form-urlencoded" and text.startswith(
        (*(f"{name}=" for name in _NAMES), "format=")
    ):
        return {name: values[-1] for name, values in parse_qs(text).items()}
    return {_NAMES[0]: text} if text else {}

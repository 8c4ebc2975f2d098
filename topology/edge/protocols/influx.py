"""Influx line protocol as InfluxDB 1 and 2 take it: `/write` and `/api/v2/write`.

InfluxDB API reference v2, "Write data", and 1.8, "/write HTTP endpoint". Where InfluxDB 2 writes
nothing of a request with a bad line, the good lines are kept here, as InfluxDB 1 does it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.admission import Reason
from pipeline.influx.decode import InfluxReader
from pipeline.influx.lines import PRECISIONS
from pipeline.refusals import MILLISECONDS
from topology.edge.admit import admit, note_lines
from topology.edge.compression import GZIP, PLAIN
from topology.edge.endpoint import AT_ONCE_BYTES, Endpoint
from topology.edge.intake import Intake, Registry
from topology.http import Refused, refused_headers
from topology.keys import key_of_request
from topology.tenants import Tenant

_Format = TypeVar("_Format")
PATH_1, PATH_2 = "/write", "/api/v2/write"
PRECISIONS_1, PRECISIONS_2 = tuple(PRECISIONS), ("ns", "us", "ms", "s")
_EXAMPLES_SHOWN = 5
# What a precision is called in messages.
_UNITS = {
    **dict.fromkeys(("ns", "n"), "nanoseconds"),
    **dict.fromkeys(("us", "u", "µ", "µs"), "microseconds"),
    "ms": MILLISECONDS,
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
}
# Lines that are sound, but not taken; all other reasons are faults of their text.
_NOT_TAKEN = {
    Reason.FUTURE,
    Reason.TOO_OLD,
    Reason.TOO_MANY_LABELS,
    Reason.LABEL_TOO_LONG,
    Reason.ACTIVE_SERIES,
    Reason.NEW_SERIES,
}
# `code` of an answer of InfluxDB 2.
_CODES = {
    HTTPStatus.BAD_REQUEST: "invalid",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "invalid",
    HTTPStatus.UNPROCESSABLE_ENTITY: "unprocessable entity",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class InfluxLines:
    """Reads line protocol with timestamps of one precision."""

    encodings = PLAIN | GZIP
    at_once_bytes = AT_ONCE_BYTES

    def __init__(self, registry: Registry, reader: InfluxReader, precision: str, name: str) -> None:
        self.name = name
        self._registry = registry
        self._reader = reader
        self._precision = precision

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body; refusals have the numbers of lines, from 1. Raises MalformedBody."""
        seed = self._registry.seed(tenant)
        points = self._reader.read(body, seed, self._precision, now_ms)
        sent_in = _UNITS[self._precision]
        intake = admit(self._registry, points.decoded, tenant, now_ms, sent_in)
        note_lines(intake, points.decoded.points, points.faults, points.n_bad)
        intake.n_strings = points.n_strings
        return intake


class Influx1(InfluxLines):
    """Answers as InfluxDB 1."""

    def answer(self, intake: Intake) -> Response:
        """Answer 204, or 400 in the words by which Telegraf knows that it shall not send again."""
        if not len(intake.refusals):
            return Response(status_code=204)
        message = f"partial write: {_examples(intake)} dropped={intake.n_points_refused}"
        return _answer_1(HTTPStatus.BAD_REQUEST, message)


class Influx2(InfluxLines):
    """Answers as InfluxDB 2."""

    def answer(self, intake: Intake) -> Response:
        """Answer 204, 400 for lines that cannot be read, 422 for those that are not taken."""
        if not len(intake.refusals):
            return Response(status_code=204)
        is_sound = intake.refusals.counts.keys() <= _NOT_TAKEN
        status = HTTPStatus.UNPROCESSABLE_ENTITY if is_sound else HTTPStatus.BAD_REQUEST
        message = f"partial write: dropped {intake.n_points_refused} lines: {_examples(intake)}"
        return _answer_2(status, message, line=intake.refusals.in_order()[0].index)


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    reader = InfluxReader(registry.budget.max_series // 2)
    registry.memory["influx_series"] = reader.n_bytes
    formats_1 = {one: Influx1(registry, reader, one, "influx_1") for one in PRECISIONS_1}
    formats_2 = {one: Influx2(registry, reader, one, "influx_2") for one in PRECISIONS_2}
    return [
        Endpoint(PATH_1, lambda request: _chosen(request, formats_1), refuse_1, key_of),
        Endpoint(PATH_2, lambda request: _chosen(request, formats_2), refuse_2, key_of),
    ]


def _chosen(request: Request, formats: Mapping[str, _Format]) -> _Format:
    precision = request.query_params.get("precision") or "ns"
    if precision not in formats:
        text = f"precision {precision!r}: expected one of {', '.join(formats)}"
        raise Refused(HTTPStatus.BAD_REQUEST, text)
    return formats[precision]


def key_of(request: Request) -> str | None:
    """Return the key as clients of InfluxDB send it: a token, or the password of any user.

    InfluxDB 1 takes user and password as parameters `u` and `p`, too, and clients of version 2
    send them as the token `user:password`.
    """
    found = key_of_request(request.headers) or request.query_params.get("p")
    return found.rpartition(":")[2] if found else None


def refuse_1(_: Request, refused: Refused) -> Response:
    """Answer a refusal as InfluxDB 1."""
    message = str(refused)
    if refused.status == HTTPStatus.BAD_REQUEST:
        # Telegraf sends for ever what is refused in other words.
        message = f"unable to parse: {message}"
    return _answer_1(refused.status, message, refused_headers(refused))


def refuse_2(_: Request, refused: Refused) -> Response:
    """Answer a refusal as InfluxDB 2."""
    return _answer_2(refused.status, str(refused), refused_headers(refused))


def _answer_1(status: HTTPStatus, error: str, headers: dict[str, str] | None = None) -> Response:
    shown = error.encode("ascii", "backslashreplace").decode().replace("\n", " ")
    return JSONResponse(
        {"error": error}, status, {**(headers or {}), "X-Influxdb-Error": shown[:1000]}
    )


def _answer_2(
    status: HTTPStatus,
    message: str,
    headers: dict[str, str] | None = None,
    line: int | None = None,
) -> Response:
    body: dict[str, object] = {"code": _CODES.get(status, "internal error"), "message": message}
    return JSONResponse(body if line is None else body | {"line": line}, status, headers)


def _examples(intake: Intake) -> str:
    shown = [one for one in intake.refusals.in_order() if one.message][:_EXAMPLES_SHOWN]
    return "; ".join(f"line {one.index}: {one.message}" for one in shown)

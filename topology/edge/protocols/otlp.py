"""OTLP/HTTP metrics, as protobuf or JSON, answered as the OTLP specification says.

"OTLP Specification", section OTLP/HTTP Response: answers are of the request's encoding; what is
refused of a request is told in partial_success, what is refused as a whole in a google.rpc.Status.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from pipeline.otlp.decode import OtlpReader
from pipeline.otlp.json_body import to_protobuf
from pipeline.otlp.labels import Naming
from pipeline.wire import BYTES, VARINT
from topology.edge.admit import admit
from topology.edge.compression import GZIP, PLAIN, ZSTD, BodyTooLarge
from topology.edge.endpoint import AT_ONCE_BYTES, Endpoint
from topology.edge.intake import Intake, Registry
from topology.http import Refused, refused_headers
from topology.tenants import Tenant

PATH = "/v1/metrics"
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
# The limit that the specification recommends. JSON is read as Python's objects, some 20 times as
# large as the text, and ten thousand points take a second.
_MAX_JSON_BYTES = 20 << 20
_JSON_AT_ONCE_BYTES = 32 << 10
_EXAMPLES_SHOWN = 5
# google.rpc.Code of a refusal; the HTTP status says all that senders act on.
_CODES = {
    HTTPStatus.UNAUTHORIZED: 16,
    HTTPStatus.FORBIDDEN: 7,
    HTTPStatus.TOO_MANY_REQUESTS: 8,
    HTTPStatus.SERVICE_UNAVAILABLE: 14,
}
_INVALID_ARGUMENT = 3


@dataclass(frozen=True, slots=True)
class _Form:
    """One encoding of requests and answers.

    to_wire: a body as protobuf's wire bytes. partial: a response that so many points are refused
    of, and why. status: a google.rpc.Status of a code and a message.
    """

    media_type: str
    at_once_bytes: int
    to_wire: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    success: bytes
    partial: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


class Otlp:
    """Reads ExportMetricsServiceRequest in one of its encodings."""

    name = "otlp"
    encodings = PLAIN | GZIP | ZSTD

    def __init__(self, registry: Registry, reader: OtlpReader, form: _Form) -> None:
        self._registry = registry
        self._reader = reader
        self._form = form
        self.at_once_bytes = form.at_once_bytes

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody, BodyTooLarge."""
        registry, limits = self._registry, self._registry.limits(tenant)
        points = self._reader.read(
            self._form.to_wire(body),
            registry.seed(tenant),
            now_ms - limits.retention_ms,
            now_ms + limits.max_future_ms,
        )
        intake = admit(registry, points.decoded, tenant, now_ms, "nanoseconds")
        for fault in points.faults:
            # Of no sample: the point gave none.
            nowhere = len(points.decoded.times_ms)
            intake.refusals.add_alike(fault.n_points, nowhere, fault.reason, fault.message)
            intake.n_points_refused += fault.n_points
        return intake

    def answer(self, intake: Intake) -> Response:
        """Answer 200, with a partial_success where points were refused."""
        form = self._form
        if not len(intake.refusals):
            return Response(form.success, media_type=form.media_type)
        words = dict.fromkeys(one.message for one in intake.refusals.examples)
        message = (
            f"{intake.n_points_refused} data points refused "
            f"({', '.join(intake.refusals.counts)}): {'; '.join(list(words)[:_EXAMPLES_SHOWN])}"
        )
        return Response(form.partial(intake.n_points_refused, message), media_type=form.media_type)


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    reader = OtlpReader(registry.budget.max_series // 2, _naming(registry))
    registry.memory["otlp_series"] = reader.n_bytes
    formats = {form.media_type: Otlp(registry, reader, form) for form in (_AS_PROTOBUF, _AS_JSON)}

    def choose(request: Request) -> Otlp:
        media_type = _media_type(request)
        if media_type not in formats:
            text = f"Content-Type {media_type!r}; taken are {_PROTOBUF!r} and {_JSON!r}"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        return formats[media_type]

    return [Endpoint(PATH, choose, _refuse)]


def _naming(registry: Registry) -> Naming:
    settings = registry.settings
    keys = (settings.otlp_resource_attributes or "").split(",")
    return Naming(
        settings.otlp_raw_names,
        settings.otlp_scope_labels,
        frozenset(key.strip() for key in keys if key.strip()),
    )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _refuse(request: Request, refused: Refused) -> Response:
    form = _AS_PROTOBUF if _media_type(request) == _PROTOBUF else _AS_JSON
    return Response(
        form.status(_CODES.get(refused.status, _INVALID_ARGUMENT), str(refused)),
        refused.status,
        refused_headers(refused),
        form.media_type,
    )


def _from_json(body: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(body) > _MAX_JSON_BYTES:
        raise BodyTooLarge(
            f"OTLP as JSON of {len(body)} bytes: at most {_MAX_JSON_BYTES}; "
            f"send {_PROTOBUF}, or less at once"
        )
    return np.frombuffer(to_protobuf(body.data), dtype=np.uint8)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _number_and_text(number: int, text: str) -> bytes:
    """Return a message with an integer as field 1 and a string as field 2."""
    as_bytes = text.encode()
    head = bytes([1 << 3 | VARINT]) + _varint(number) if number else b""
    return head + bytes([2 << 3 | BYTES]) + _varint(len(as_bytes)) + as_bytes


def _partial_protobuf(n_refused: int, message: str) -> bytes:
    partial = _number_and_text(n_refused, message)
    return bytes([1 << 3 | BYTES]) + _varint(len(partial)) + partial


def _partial_json(n_refused: int, message: str) -> bytes:
    partial = {"rejectedDataPoints": str(n_refused), "errorMessage": message}
    return json.dumps({"partialSuccess": partial}).encode()


def _status_json(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


_AS_PROTOBUF = _Form(
    _PROTOBUF, AT_ONCE_BYTES, lambda body: body, b"", _partial_protobuf, _number_and_text
)
_AS_JSON = _Form(_JSON, _JSON_AT_ONCE_BYTES, _from_json, b"{}", _partial_json, _status_json)

"""Text exposition by push: Prometheus' text format and OpenMetrics, also as to a Pushgateway."""

import base64
from functools import partial
from http import HTTPStatus
from urllib.parse import unquote_plus

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.exposition.decode import ExpositionReader
from pipeline.exposition.ending import cut_off
from pipeline.refusals import MILLISECONDS
from topology.edge.admit import admit, note_lines
from topology.edge.compression import GZIP, PLAIN, ZSTD
from topology.edge.endpoint import AT_ONCE_BYTES, Endpoint
from topology.edge.intake import Intake, Registry
from topology.http import Refused
from topology.tenants import Tenant

PATH = "/api/v1/import/prometheus"
_GROUPED = PATH + "/metrics/"
_OPEN_METRICS, _PROTOBUF = "application/openmetrics-text", "application/vnd.google.protobuf"
_BASE64 = "@base64"


class Exposition:
    """Reads text; shared: labels that all series of the body get."""

    name = "exposition"
    encodings = PLAIN | GZIP | ZSTD
    at_once_bytes = AT_ONCE_BYTES

    def __init__(
        self,
        registry: Registry,
        reader: ExpositionReader,
        shared: dict[str, str],
        *,
        is_open_metrics: bool,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._shared = shared
        self._is_open_metrics = is_open_metrics

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body; refusals have the numbers of lines, from 1. Raises MalformedBody."""
        body, ending = cut_off(body) if self._is_open_metrics else (body, None)
        points = self._reader.read(
            body,
            self._registry.seed(tenant),
            now_ms,
            self._shared,
            is_open_metrics=self._is_open_metrics,
        )
        sent_in = "seconds" if self._is_open_metrics else MILLISECONDS
        intake = admit(self._registry, points.decoded, tenant, now_ms, sent_in)
        endings = [] if ending is None else [ending]
        faults, n_bad = [*endings, *points.faults], points.n_bad + len(endings)
        note_lines(intake, points.decoded.points, faults, n_bad)
        return intake

    def answer(self, intake: Intake) -> Response:
        """Answer 204, or 400 with the lines that are refused; the others of it are kept."""
        refusals = intake.refusals
        if not len(refusals):
            return Response(status_code=204)
        errors = [
            {"line": one.index, "reason": one.reason, "message": one.message}
            for one in refusals.in_order()
            if one.message
        ]
        first = f"line {errors[0]['line']}: {errors[0]['message']}" if errors else ""
        n_samples = intake.n_written + len(refusals)
        return JSONResponse(
            {
                "error": f"{len(refusals)} of {n_samples} samples refused: {first}",
                "accepted": intake.n_written,
                "rejected": len(refusals),
                "errors": errors,
            },
            HTTPStatus.BAD_REQUEST,
        )


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    reader = ExpositionReader(registry.budget.max_series // 2)
    registry.memory["exposition_series"] = reader.n_bytes
    choose = partial(_choose, registry, reader)
    # A Pushgateway's clients put, or post, below the address that they are given.
    return [
        Endpoint(PATH, choose),
        Endpoint(_GROUPED + "{grouping:path}", choose, methods=("POST", "PUT")),
    ]


def _choose(registry: Registry, reader: ExpositionReader, request: Request) -> Exposition:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _PROTOBUF:
        text = f"Content-Type {media_type!r}: text is taken, text/plain or {_OPEN_METRICS}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    path = request.scope.get("raw_path", b"").decode("ascii", "replace")
    grouping = path.partition(_GROUPED)[2]
    shared = _labels_of_path(grouping) if grouping else {}
    return Exposition(registry, reader, shared, is_open_metrics=media_type == _OPEN_METRICS)


def _labels_of_path(grouping: str) -> dict[str, str]:
    """Return the labels of `job/NAME/LABEL/VALUE/...`; raises Refused.

    Pushgateway, "README", section URL: `LABEL@base64` has its value in base64 for URLs.
    """
    parts = grouping.rstrip("/").split("/")
    labels: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=False):
        label = _unquoted(name)
        if label.endswith(_BASE64):
            labels[label.removesuffix(_BASE64)] = _from_base64(value)
        else:
            labels[label] = _unquoted(value)
    if len(parts) % 2 or next(iter(labels)) != "job" or "__name__" in labels:
        text = f"path {_GROUPED}{grouping}: expected {_GROUPED}job/NAME and pairs of /LABEL/VALUE"
        raise Refused(HTTPStatus.BAD_REQUEST, text)
    return labels


def _unquoted(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        message = f"{text!r} in the path is not UTF-8 in percent signs"
        raise Refused(HTTPStatus.BAD_REQUEST, message) from None


def _from_base64(text: str) -> str:
    try:
        # Padding may be left out; "=" alone stands for no text at all.
        bare = unquote_plus(text).rstrip("=")
        padded = bare + "=" * (-len(bare) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError:
        message = f"{text!r} in the path is not base64 for URLs of a UTF-8 text"
        raise Refused(HTTPStatus.BAD_REQUEST, message) from None

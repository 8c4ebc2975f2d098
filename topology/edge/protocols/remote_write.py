"""Prometheus remote write 1.0 and 2.0, as snappy blocks or zstd."""

import threading
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.families import decode_families
from pipeline.label_cache import LabelCache
from pipeline.remote_write import WriteRequest, decode_write_request
from pipeline.remote_write_2 import decode_request
from topology.edge.admit import admit
from topology.edge.compression import SNAPPY, ZSTD, Encoding
from topology.edge.endpoint import AT_ONCE_BYTES, Endpoint
from topology.edge.intake import Intake, Registry, summarize
from topology.http import Refused, answer_refused
from topology.tenants import Tenant

# Senders that leave the header out send snappy, as Prometheus takes it, too.
_ENCODINGS = {"": Encoding.SNAPPY} | SNAPPY | ZSTD
PATH = "/api/v1/write"
_VERSION_1, _VERSION_2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
_MEDIA_TYPE = "application/x-protobuf"
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


class RemoteWrite:
    """Reads prometheus.WriteRequest; remembers ids by the bytes of labels."""

    name = "remote_write"
    at_once_bytes = AT_ONCE_BYTES
    encodings = _ENCODINGS

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._label_cache = LabelCache(registry.budget.max_series)
        self._cache_lock = threading.Lock()
        registry.memory["label_cache"] = self._label_cache.n_bytes

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody."""
        request = self._decode(body, tenant)
        if len(request.metadata_spans):
            families = decode_families(body, request.metadata_spans)
            is_news = self._registry.metadata.note(tenant.name, families, now_ms)
            if is_news and len(request.samples.series_ids):
                # Seldom in one request: its series are of the types told beside them.
                request = self._decode(body, tenant)
        return admit(self._registry, request.samples, tenant, now_ms)

    def answer(self, intake: Intake) -> Response:
        """Answer 204, or 400 in words where samples were refused; the others of it are kept."""
        return _answer(intake)

    def _decode(self, body: NDArray[np.uint8], tenant: Tenant) -> WriteRequest:
        seed, metrics = self._registry.seed(tenant), self._registry.metadata.of(tenant.name)
        # A large body is read in a thread: of two at once, one does without the cache.
        if not self._cache_lock.acquire(blocking=False):
            return decode_write_request(body, seed, metrics=metrics)
        try:
            return decode_write_request(body, seed, self._label_cache, metrics)
        finally:
            self._cache_lock.release()


class RemoteWrite2:
    """Reads io.prometheus.write.v2.Request."""

    name = "remote_write_2"
    at_once_bytes = AT_ONCE_BYTES
    encodings = _ENCODINGS

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody."""
        decoded = decode_request(body, self._registry.seed(tenant))
        return admit(self._registry, decoded, tenant, now_ms)

    def answer(self, intake: Intake) -> Response:
        """Answer as version 1.0 does; both say how many samples were written."""
        return _answer(intake)


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    by_message: dict[str, RemoteWrite | RemoteWrite2] = {
        _VERSION_1: RemoteWrite(registry),
        _VERSION_2: RemoteWrite2(registry),
    }

    def choose(request: Request) -> RemoteWrite | RemoteWrite2:
        message = _message_of(request.headers.get("content-type", ""))
        chosen = by_message.get(message)
        if chosen is None:
            text = f"protobuf message {message!r}; taken are {_VERSION_1!r} and {_VERSION_2!r}"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        return chosen

    return [Endpoint(PATH, choose, _refuse)]


def _message_of(content_type: str) -> str:
    """Return the name of the message that a Content-Type means. Raises Refused.

    None at all and application/x-protobuf without the parameter mean version 1.0.
    """
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    if media_type.lower() not in {"", _MEDIA_TYPE}:
        text = (
            f"Content-Type {content_type!r}: {_MEDIA_TYPE} is taken, with ;proto=MESSAGE or without"
        )
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            return value.strip().strip('"')
    return _VERSION_1


def _answer(intake: Intake) -> Response:
    headers = _written(intake.n_written)
    if len(intake.refusals):
        text = summarize(intake.refusals, intake.n_written)
        return PlainTextResponse(text, status_code=400, headers=headers)
    return Response(status_code=204, headers=headers)


def _refuse(_: Request, refused: Refused) -> Response:
    response = answer_refused(refused)
    response.headers.update(_written(0))
    return response


def _written(n_samples: int) -> dict[str, str]:
    """Return the headers that say what was written; histograms and exemplars never are."""
    counts = {"Samples": n_samples, "Histograms": 0, "Exemplars": 0}
    return {_WRITTEN.format(kind): str(count) for kind, count in counts.items()}

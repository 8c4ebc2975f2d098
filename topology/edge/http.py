"""Routes of the edge: keys, bodies and their limits, and an honest answer to each request."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.errors import MalformedBody
from topology.budget import EdgeBudget
from topology.clock import now_ms
from topology.disk import Disk
from topology.edge.intake import BodyTooLarge, Decoder, Intake, summarize
from topology.edge.publisher import Publisher, Unavailable
from topology.http import Refused, authorize, measured_route
from topology.keys import KeyRing, Tenant
from topology.runtime import Context

_ERRORS_SHOWN = 1000
# Some 2 ms of decoding; a larger body would hold up the requests of others.
_DECODE_AT_ONCE_BYTES = 1 << 20
_REMOTE_WRITE_2 = "io.prometheus.write.v2"


class Edge:
    """HTTP handlers of the edge.

    disk: that of the broker, where it is this machine's: a full one would end the broker.
    """

    def __init__(
        self,
        context: Context,
        ring: KeyRing,
        decoder: Decoder,
        publisher: Publisher,
        disk: Disk | None = None,
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._ring = ring
        self._decoder = decoder
        self._publisher = publisher
        self._disk = disk
        self._max_in_flight_bytes = EdgeBudget.of(context.settings.memory_bytes).in_flight_bytes
        self._in_flight_bytes = 0
        self._observe_memory()

    def _observe_memory(self) -> None:
        """Let each look at the metrics count what this edge holds then."""
        gauge = self._context.metrics.memory_bytes
        gauge.labels("in_flight").set_function(lambda: self._in_flight_bytes)
        for part in self._decoder.memory_bytes():
            gauge.labels(part).set_function(partial(self._memory_of, part))

    def _memory_of(self, part: str) -> int:
        return self._decoder.memory_bytes()[part]

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            self._route("/api/v1/ingest", "POST", self._ingest_json),
            self._route("/functions/v1/ingest", "POST", self._ingest_json),
            self._route("/api/v1/ingest", "GET", self._status),
            self._route("/functions/v1/ingest", "GET", self._status),
            self._route("/api/v1/write", "POST", self._remote_write),
        ]

    def _route(
        self, path: str, method: str, handle: Callable[[Request, Tenant], Awaitable[Response]]
    ) -> Route:
        scope = "write" if method == "POST" else None

        async def answer(request: Request) -> Response:
            tenant = authorize(self._ring, request, scope).tenant
            if scope == "write":
                self._check_disk()
            try:
                return await handle(request, tenant)
            except MalformedBody as error:
                raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
            except BodyTooLarge as error:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
            except Unavailable as error:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

        return measured_route(path, [method], answer, self._context.metrics)

    def _check_disk(self) -> None:
        """Raise Refused while the broker's disk is nearly full; a look costs a microsecond."""
        if self._disk is not None and (shortage := self._disk.shortage()) is not None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, shortage)

    async def _status(self, _: Request, tenant: Tenant) -> Response:
        return JSONResponse({"status": "ok", "tenant": tenant.name, "tier": tenant.tier})

    async def _ingest_json(self, request: Request, tenant: Tenant) -> Response:
        async with _Body(self, request) as body:
            plain = _decompress(
                body,
                request.headers.get("content-encoding", "").lower(),
                self._settings.max_decoded_bytes,
            )
            with self._holding(len(plain)):
                intake = await _read(self._decoder.read_json, plain, tenant, len(plain))
                await self._publish(intake, "json")
        rejections = intake.rejections
        answer: dict[str, object] = {
            "accepted": len(intake.series_ids),
            "rejected": len(rejections),
            "errors": [
                {"index": one.index, "reason": one.reason, "message": one.message}
                for one in rejections[:_ERRORS_SHOWN]
            ],
        }
        if len(rejections) > _ERRORS_SHOWN:
            answer["errors_omitted"] = len(rejections) - _ERRORS_SHOWN
        all_refused = bool(rejections) and not len(intake.series_ids)
        return JSONResponse(answer, status_code=400 if all_refused else 200)

    async def _remote_write(self, request: Request, tenant: Tenant) -> Response:
        encoding = request.headers.get("content-encoding", "snappy").lower()
        if encoding != "snappy":
            message = f"Content-Encoding {encoding!r}: remote write is taken as a snappy block"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        if _REMOTE_WRITE_2 in request.headers.get("content-type", ""):
            message = "remote write 2.0 is not taken; send prometheus.WriteRequest (1.0)"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        async with _Body(self, request) as body:
            size = self._decoder.decoded_size(body)
            with self._holding(size):
                intake = await _read(self._decoder.read_remote_write, body, tenant, size)
                await self._publish(intake, "remote_write")
        if intake.rejections:
            n_samples = len(intake.series_ids) + len(intake.rejections)
            return PlainTextResponse(summarize(intake.rejections, n_samples), status_code=400)
        return Response(status_code=204)

    async def _publish(self, intake: Intake, protocol: str) -> None:
        """Publish what is good, then count: what a client is to send again counts only once."""
        metrics, tenant = self._context.metrics, intake.tenant.name
        if len(intake.series_ids):
            await self._publisher.publish(intake)
            metrics.samples_accepted.labels(tenant, protocol).inc(len(intake.series_ids))
        for reason, count in intake.rejected_by_reason().items():
            metrics.samples_rejected.labels(tenant, reason).inc(count)
        if intake.rejections:
            self._context.log.debug(
                "samples refused", tenant=tenant, first=intake.rejections[0].message
            )

    @contextmanager
    def _holding(self, size: int) -> Iterator[None]:
        """Hold the bytes that a body has become. Raises Refused."""
        self.hold(size)
        try:
            yield
        finally:
            self.release(size)

    def hold(self, size: int) -> None:
        """Take so many bytes of the in-flight budget. Raises Refused where it is used up."""
        if self._in_flight_bytes + size > self._max_in_flight_bytes:
            message = (
                f"{self._in_flight_bytes} bytes of requests are waiting for the broker, at most "
                f"{self._max_in_flight_bytes} (an eighth of memory_bytes)"
            )
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message)
        self._in_flight_bytes += size

    def release(self, size: int) -> None:
        """Give back bytes of the in-flight budget."""
        self._in_flight_bytes -= size

    @property
    def max_body_bytes(self) -> int:
        """Largest body as received."""
        return self._settings.max_body_bytes


async def _read(
    decode: Callable[[bytes, Tenant, int], Intake], body: bytes, tenant: Tenant, size: int
) -> Intake:
    """Decode a body; a large one in a thread, so that other requests go on meanwhile."""
    if size <= _DECODE_AT_ONCE_BYTES:
        return decode(body, tenant, now_ms())
    return await asyncio.to_thread(decode, body, tenant, now_ms())


class _Body:
    """Reads a request's body within the limits and holds its bytes until the request is done."""

    def __init__(self, edge: Edge, request: Request) -> None:
        self._edge = edge
        self._request = request
        self._held = 0

    async def __aenter__(self) -> bytes:
        self._check(int(self._request.headers.get("content-length") or 0))
        chunks: list[bytes] = []
        try:
            async for chunk in self._request.stream():
                self._check(self._held + len(chunk))
                self._edge.hold(len(chunk))
                self._held += len(chunk)
                chunks.append(chunk)
        except BaseException:
            self._edge.release(self._held)
            raise
        return b"".join(chunks)

    async def __aexit__(self, *_: object) -> None:
        self._edge.release(self._held)

    def _check(self, size: int) -> None:
        if size > self._edge.max_body_bytes:
            raise BodyTooLarge(
                f"body of {size} bytes: at most {self._edge.max_body_bytes} (max_body_bytes)"
            )


def _decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Encoding {encoding!r}: gzip or none"
        )
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedBody(f"not gzip: {error}") from None
    if len(plain) > max_bytes:
        raise BodyTooLarge(f"body over {max_bytes} bytes after decompression (max_decoded_bytes)")
    if not inflate.eof:
        raise MalformedBody("not gzip: it ends early")
    return plain

"""Routes of the edge: keys, bodies and their limits, and an honest answer to each request."""

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.admission import Reason
from pipeline.errors import MalformedBody
from topology.clock import now_ms
from topology.disk import Disk
from topology.edge.compression import BodyTooLarge, Decompressor, Encoding, Hold, snappy_size
from topology.edge.endpoint import BodyFormat, Endpoint
from topology.edge.in_flight import InFlight
from topology.edge.intake import Intake, Registry, with_zeros
from topology.edge.protocols import json_points
from topology.edge.protocols.influx_probes import probe_routes
from topology.edge.publisher import Publisher, Unavailable
from topology.edge.quotas import Quotas
from topology.edge.rejections import Rejections, Told, told_of
from topology.edge.routes import make_endpoints, spec_of
from topology.http import Refused, authorize, measured_route
from topology.keys import KeyRing
from topology.openapi import Spec
from topology.runtime import Context
from topology.tenants import Tenant

# Of what may become a thousand times as much and does not say so, read in the event loop.
_INFLATE_AT_ONCE_BYTES = 32 << 10


class Status(msgspec.Struct, frozen=True):
    """Whom a key belongs to."""

    status: str
    tenant: str
    tier: str


_STATUS = Spec("says whom the key belongs to", answer=Status)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers need beside the context.

    disk: that of the broker, where it is this machine's: a full one would end the broker.
    """

    ring: KeyRing
    registry: Registry
    publisher: Publisher
    quotas: Quotas
    rejections: Rejections
    disk: Disk | None = None


class Edge:
    """HTTP handlers of the edge."""

    def __init__(self, context: Context, parts: Parts) -> None:
        self._context = context
        self._settings = context.settings
        registry = parts.registry
        self._ring = parts.ring
        self._publisher = parts.publisher
        self._quotas = parts.quotas
        self._rejections = parts.rejections
        self._disk = parts.disk
        self._registry = registry
        self._endpoints = make_endpoints(registry)
        self._decompressor = Decompressor(context.settings.max_decoded_bytes)
        self._in_flight = InFlight(registry.budget.in_flight_bytes)
        gauge = context.metrics.memory_bytes
        gauge.labels("in_flight").set_function(self._in_flight.n_bytes)
        for part, n_bytes in registry.memory.items():
            gauge.labels(part).set_function(n_bytes)

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        metrics = self._context.metrics
        takes = [
            measured_route(
                one.path,
                one.methods,
                partial(self._take, one),
                metrics,
                one.refuse,
                spec_of(one.path),
            )
            for one in self._endpoints
        ]
        tells = [
            measured_route(path, ["GET"], self._status, metrics, spec=_STATUS)
            for path in json_points.PATHS
        ]
        return [*takes, *tells, *probe_routes(self._ring, metrics)]

    async def _status(self, request: Request) -> Response:
        tenant = authorize(self._ring, request, None).tenant
        return JSONResponse(msgspec.structs.asdict(Status("ok", tenant.name, tenant.tier)))

    async def _take(self, endpoint: Endpoint, request: Request) -> Response:
        """Take the samples of a request in; acknowledged by the broker when this returns."""
        tenant = authorize(self._ring, request, "write", endpoint.key_of(request)).tenant
        try:
            return await self._take_of(tenant, endpoint, request)
        except Refused as refused:
            refusals = self._context.metrics.requests_refused
            refusals.labels(tenant.name, str(int(refused.status))).inc()
            raise

    async def _take_of(self, tenant: Tenant, endpoint: Endpoint, request: Request) -> Response:
        self._check_disk()
        # Before anything of the body is read: who sends too much should cost little.
        self._quotas.check_rate(tenant)
        self._check_broker()
        chosen = endpoint.choose(request)
        encoding = _encoding_of(request, chosen)
        try:
            with self._in_flight.holding(tenant.name) as hold:
                body = await self._receive(request, hold)
                intake, told = await self._read(chosen, body, encoding, tenant, hold)
                self._quotas.charge(tenant, len(intake.series_ids) + len(intake.refusals))
                await self._publish(intake, chosen.name)
                self._rejections.note(tenant.name, told, now_ms())
        except MalformedBody as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        except BodyTooLarge as error:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
        except Unavailable as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        return chosen.answer(intake)

    def _check_disk(self) -> None:
        """Raise Refused while the broker's disk is nearly full; a look costs a microsecond."""
        if self._disk is not None and (shortage := self._disk.shortage()) is not None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, shortage)

    def _check_broker(self) -> None:
        """Raise Refused while the broker is away: a body would only be held until it is refused."""
        try:
            self._publisher.check()
        except Unavailable as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

    async def _receive(self, request: Request, hold: Hold) -> bytes:
        """Return the body as received, within its limit and held from its first byte on."""
        self._check_size(int(request.headers.get("content-length") or 0))
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            self._check_size(size)
            hold(len(chunk))
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_body_bytes
        if size > limit:
            raise BodyTooLarge(f"body of {size} bytes: at most {limit} (max_body_bytes)")

    async def _read(
        self, chosen: BodyFormat, body: bytes, encoding: Encoding, tenant: Tenant, hold: Hold
    ) -> tuple[Intake, dict[Reason, list[Told]]]:
        """Unfold and decode a body; a large one in a thread, so that other requests go on."""

        def work() -> tuple[Intake, dict[Reason, list[Told]]]:
            with self._decompressor.plain(body, encoding, hold) as plain:
                at_ms = now_ms()
                intake = self._quotas.limit_series(chosen.read(plain, tenant, at_ms), at_ms)
                return intake, told_of(intake)

        return await asyncio.to_thread(work) if _is_large(body, encoding, chosen) else work()

    async def _publish(self, intake: Intake, protocol: str) -> None:
        """Publish what is good, then count: what a client is to send again counts only once."""
        metrics, tenant = self._context.metrics, intake.tenant.name
        if len(intake.series_ids):
            columns = (intake.series_ids, intake.times_ms, intake.starts_ms)
            zeros = self._registry.starts.zeros_of(*columns, self._registry.seed(intake.tenant))
            await self._publisher.publish(with_zeros(intake, zeros))
            self._registry.starts.remember(zeros)
            n_accepted = len(intake.series_ids) + len(zeros)
            if intake.new_series:
                n_active = self._quotas.n_active(intake.tenant, now_ms())
                metrics.active_series.labels(tenant).set(n_active)
            metrics.samples_accepted.labels(tenant, protocol).inc(n_accepted)
        for reason, count in intake.refusals.counts.items():
            metrics.samples_rejected.labels(tenant, reason).inc(count)
        if intake.n_strings:
            metrics.strings_skipped.labels(tenant, protocol).inc(intake.n_strings)
        if intake.n_copies:
            metrics.samples_deduplicated.labels(tenant).inc(intake.n_copies)
        if intake.n_exemplars:
            metrics.exemplars_skipped.labels(tenant, protocol).inc(intake.n_exemplars)


def _encoding_of(request: Request, chosen: BodyFormat) -> Encoding:
    """Return how a body is compressed, in a way that its format takes. Raises Refused."""
    named = request.headers.get("content-encoding", "").strip().lower()
    encoding = chosen.encodings.get(named)
    if encoding is None:
        taken = ", ".join(sorted(set(chosen.encodings.values())))
        message = f"Content-Encoding {named!r} is not taken here; taken are {taken}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    return encoding


def _is_large(body: bytes, encoding: Encoding, chosen: BodyFormat) -> bool:
    """Whether work on a body would hold up the requests of others. Raises MalformedBody."""
    if encoding is Encoding.SNAPPY:
        return snappy_size(body) > chosen.at_once_bytes
    if encoding is Encoding.NONE:
        return len(body) > chosen.at_once_bytes
    return len(body) > min(_INFLATE_AT_ONCE_BYTES, chosen.at_once_bytes)

"""`/api/v1/admin/verify`: what `observai verify` asks the store role, part by bounded part."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.http import Refused, administered, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.store.queries import FORMATS, QueryFailed
from topology.store.verify import MAX_RANGE_S, MAX_ROWS, MAX_SERIES, Page, Scope, Verifier
from topology.tenants import Tenant

PATH = "/api/v1/admin/verify"
_MAX_BODY_BYTES = 64_000
_HOUR_S, _DAY_S = 3_600, 86_400
_LAST_S = (1 << 32) - 1


class _Question(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Every question may name the tenant that it is about; by default it is the key's."""

    tenant: str | None = None


class Windows(_Question, kw_only=True):
    """Asks for a comparison of these series' windows that begin and end in [from_s, to_s]."""

    series_ids: list[int]
    from_s: int
    to_s: int


class Choice(_Question, kw_only=True):
    """Asks for ids of series alive after from_s: by id * factor + seed (mod 2**64), past after."""

    from_s: int
    limit: int
    factor: int = 1
    seed: int = 0
    after: int = 0


class Rows(_Question, kw_only=True):
    """Asks for stored samples in [from_ms, to_ms), by series and time, past (series, time)."""

    series_ids: list[int]
    from_ms: int
    to_ms: int
    after_series: int = 0
    after_ms: int = -1


class Chosen(msgspec.Struct):
    """The answer to a Choice. kept_from_s: what is older may have expired.

    retention_days, sample_flags: of the tenant, as its samples have them now.
    """

    tenant: str
    kept_from_s: int
    series_ids: list[int]
    retention_days: int = 0
    sample_flags: int = 0


_Asked = TypeVar("_Asked", bound=_Question)


class VerifyApi:
    """The routes. Questions and answers are JSON; samples come as an Arrow stream."""

    def __init__(self, ring: KeyRing, verifier: Verifier, metrics: Metrics) -> None:
        self._ring = ring
        self._verifier = verifier
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            self._route("", Windows, self._compare),
            self._route("/series", Choice, self._choose),
            self._route("/samples", Rows, self._samples),
        ]

    def _route(
        self,
        ending: str,
        kind: type[_Asked],
        answer: Callable[[Tenant, _Asked], Awaitable[Response]],
    ) -> Route:
        async def handle(request: Request) -> Response:
            asked = await _read(request, kind)
            tenant = administered(self._ring, request, asked.tenant)
            try:
                return await answer(tenant, asked)
            except QueryFailed as failed:
                raise Refused(failed.status, str(failed), failed.code) from None

        return measured_route(PATH + ending, ["POST"], handle, self._metrics)

    async def _compare(self, tenant: Tenant, asked: Windows) -> Response:
        _check_number(asked.series_ids)
        if not 0 <= asked.from_s <= asked.to_s <= min(asked.from_s + MAX_RANGE_S, _LAST_S):
            raise _wrong(f"from_s={asked.from_s} to_s={asked.to_s}: at most {MAX_RANGE_S} s apart")
        scope = Scope(tenant.name, asked.series_ids, asked.from_s, asked.to_s)
        return _json(await self._verifier.compare(scope))

    async def _choose(self, tenant: Tenant, asked: Choice) -> Response:
        if not 0 < asked.limit <= MAX_SERIES:
            raise _wrong(f"limit={asked.limit}: 1 to {MAX_SERIES}")
        page = Page(asked.limit, asked.factor, asked.seed, asked.after)
        ids = await self._verifier.choose(tenant.name, asked.from_s, page)
        # A window expires up to an hour before its samples.
        kept_from_s = int(time.time()) - tenant.retention_days * _DAY_S + _HOUR_S
        facts = tenant.retention_days, tenant.sample_flags
        return _json(Chosen(tenant.name, kept_from_s, ids, *facts))

    async def _samples(self, tenant: Tenant, asked: Rows) -> Response:
        _check_number(asked.series_ids)
        parameters = msgspec.structs.asdict(asked) | {"tenant": tenant.name, "limit": MAX_ROWS}
        body = await self._verifier.samples(parameters)
        return Response(body, media_type=FORMATS["arrow"].media_type)


async def _read(request: Request, kind: type[_Asked]) -> _Asked:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MAX_BODY_BYTES:
            text = f"the question may have {_MAX_BODY_BYTES} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    try:
        return msgspec.json.decode(received, type=kind)
    except msgspec.DecodeError as error:
        raise _wrong(f"the question is not a {kind.__name__}: {error}") from None


def _check_number(series_ids: list[int]) -> None:
    if not 0 < len(series_ids) <= MAX_SERIES:
        raise _wrong(f"{len(series_ids)} series_ids: 1 to {MAX_SERIES}")


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")

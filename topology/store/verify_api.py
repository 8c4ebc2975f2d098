"""`/api/v1/admin/verify`: what `observai verify` asks the store role, part by bounded part."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topology.http import Refused, administered, authorize, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.store.admin.changes import json_response, read_body
from topology.store.queries import FORMATS, QueryFailed
from topology.store.verify import (
    MAX_RANGE_S,
    MAX_ROWS,
    MAX_SERIES,
    Page,
    Scope,
    Verdict,
    Verifier,
)
from topology.tenants import Tenant

PATH = "/api/v1/admin/verify"
_HOUR_S, _DAY_S = 3_600, 86_400
_LAST_S = (1 << 32) - 1


_LAST_ID = (1 << 64) - 1
# The model checks what fits into 63 bits; of ids only the document tells the end.
Id = Annotated[int, Meta(ge=0, extra_json_schema={"maximum": _LAST_ID})]
Seconds = Annotated[int, Meta(ge=0, le=_LAST_S)]
Milliseconds = Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)]
# The words of a refusal are our own.
Ids = Annotated[list[Id], Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_SERIES})]


class _Question(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Every question may name the tenant that it is about; by default it is the key's."""

    tenant: str | None = None


class Windows(_Question, kw_only=True):
    """Asks for a comparison of these series' windows that begin and end in [from_s, to_s]."""

    series_ids: Ids
    from_s: Seconds
    to_s: Seconds


class Choice(_Question, kw_only=True):
    """Asks for ids of series alive after from_s: by id * factor + seed (mod 2**64), past after."""

    from_s: Seconds
    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_SERIES})]
    factor: Id = 1
    seed: Id = 0
    after: Id = 0


class Rows(_Question, kw_only=True):
    """Asks for stored samples in [from_ms, to_ms), by series and time, past (series, time)."""

    series_ids: Ids
    from_ms: Milliseconds
    to_ms: Milliseconds
    after_series: Id = 0
    after_ms: Milliseconds = -1


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
_COMPARE = Spec("compares windows with their samples", Windows, answer=Verdict)
_CHOOSE = Spec("names series of a tenant", Choice, answer=Chosen)
_SAMPLES = Spec("gives stored samples", Rows, produces=(FORMATS["arrow"].media_type,))


class VerifyApi:
    """The routes. Questions and answers are JSON; samples come as an Arrow stream."""

    def __init__(self, ring: KeyRing, verifier: Verifier, metrics: Metrics) -> None:
        self._ring = ring
        self._verifier = verifier
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            self._route("", Windows, self._compare, _COMPARE),
            self._route("/series", Choice, self._choose, _CHOOSE),
            self._route("/samples", Rows, self._samples, _SAMPLES),
        ]

    def _route(
        self,
        ending: str,
        kind: type[_Asked],
        answer: Callable[[Tenant, _Asked], Awaitable[Response]],
        spec: Spec,
    ) -> Route:
        async def handle(request: Request) -> Response:
            # First: who may not ask learns nothing of how to.
            authorize(self._ring, request, "admin")
            asked = await read_body(request, kind)
            tenant = administered(self._ring, request, asked.tenant)
            try:
                return await answer(tenant, asked)
            except QueryFailed as failed:
                raise Refused(failed.status, str(failed), failed.code) from None

        return measured_route(PATH + ending, ["POST"], handle, self._metrics, spec=spec)

    async def _compare(self, tenant: Tenant, asked: Windows) -> Response:
        _check_series(asked.series_ids)
        if not 0 <= asked.from_s <= asked.to_s <= min(asked.from_s + MAX_RANGE_S, _LAST_S):
            raise _wrong(f"from_s={asked.from_s} to_s={asked.to_s}: at most {MAX_RANGE_S} s apart")
        scope = Scope(tenant.name, asked.series_ids, asked.from_s, asked.to_s)
        return json_response(await self._verifier.compare(scope))

    async def _choose(self, tenant: Tenant, asked: Choice) -> Response:
        if not 0 < asked.limit <= MAX_SERIES:
            raise _wrong(f"limit={asked.limit}: 1 to {MAX_SERIES}")
        _check_ids(asked.factor, asked.seed, asked.after)
        page = Page(asked.limit, asked.factor, asked.seed, asked.after)
        ids = await self._verifier.choose(tenant.name, asked.from_s, page)
        # A window expires up to an hour before its samples.
        kept_from_s = int(time.time()) - tenant.retention_days * _DAY_S + _HOUR_S
        facts = tenant.retention_days, tenant.sample_flags
        return json_response(Chosen(tenant.name, kept_from_s, ids, *facts))

    async def _samples(self, tenant: Tenant, asked: Rows) -> Response:
        _check_series(asked.series_ids)
        _check_ids(asked.after_series)
        parameters = msgspec.structs.asdict(asked) | {"tenant": tenant.name, "limit": MAX_ROWS}
        body = await self._verifier.samples(parameters)
        return Response(body, media_type=FORMATS["arrow"].media_type)


def _check_ids(*numbers: int) -> None:
    beyond = [one for one in numbers if one > _LAST_ID]
    if beyond:
        raise _wrong(f"{beyond[0]}: an id is at most {_LAST_ID}")


def _check_series(series_ids: list[int]) -> None:
    _check_ids(*series_ids)
    if not 0 < len(series_ids) <= MAX_SERIES:
        raise _wrong(f"{len(series_ids)} series_ids: 1 to {MAX_SERIES}")


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)

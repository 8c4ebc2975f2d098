"""`/api/v1/admin/tenants` and `/tiers`: tenants, for operators; each may look at itself."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.config import (
    TENANT_NAME,
    ConfigRecord,
    LimitValue,
    TenantRecord,
    TierRecord,
    encode_entry,
)
from topology.clock import now_ms
from topology.http import (
    Refused,
    administered,
    authorize,
    authorize_operator,
    measured_route,
)
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.store.admin.changes import Action, Changes, json_response, read_body, rfc3339
from topology.tenants import DEFAULT_TENANT, LIMIT_NAMES, WrongLimits, check_limits

PATH = "/api/v1/admin/tenants"
TIERS_PATH = "/api/v1/admin/tiers"
# What an override is checked with, where the tier gives the other limits.
_LEAST = {"retention_days": 1}


# Only what can be a name has a pattern; the words of a refusal are our own.
TenantName = Annotated[str, Meta(extra_json_schema={"pattern": f"^{TENANT_NAME.pattern}$"})]


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for a tenant. restore: one of this name was removed and is to come back."""

    name: TenantName
    tier: str = "free"
    overrides: dict[str, LimitValue] = {}
    restore: bool = False


class TenantChange(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for another tier, overrides to set, and overrides to take back."""

    tier: str | None = None
    set: dict[str, LimitValue] = {}
    unset: list[str] = []


class TenantShown(msgspec.Struct):
    """A tenant. limits: what holds for it. overrides: which of them are its own, not its tier's."""

    name: str
    tier: str
    limits: dict[str, LimitValue]
    overrides: dict[str, LimitValue]
    created: str | None


_TIERS = Spec("shows what tenants of each tier may use", answer=list[TierRecord])
_LIST = Spec("names all tenants, for operators", answer=list[TenantShown])
_ADD = Spec("adds a tenant", NewTenant, answers=(201,), answer=TenantShown)
_SHOW = Spec("shows a tenant", answer=TenantShown)
_SET = Spec("changes a tenant's tier and limits", TenantChange, answer=TenantShown)
_REMOVE = Spec("removes a tenant with all its keys", answers=(204,))


class TenantsApi:
    """The routes."""

    def __init__(self, ring: KeyRing, changes: Changes, metrics: Metrics) -> None:
        self._ring = ring
        self._changes = changes
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            measured_route(TIERS_PATH, ["GET"], self._tiers, self._metrics, spec=_TIERS),
            measured_route(PATH, ["GET"], self._list, self._metrics, spec=_LIST),
            measured_route(PATH, ["POST"], self._add, self._metrics, spec=_ADD),
            measured_route(PATH + "/{name}", ["GET"], self._show, self._metrics, spec=_SHOW),
            measured_route(PATH + "/{name}", ["PATCH"], self._set, self._metrics, spec=_SET),
            measured_route(PATH + "/{name}", ["DELETE"], self._remove, self._metrics, spec=_REMOVE),
        ]

    async def _tiers(self, request: Request) -> Response:
        authorize(self._ring, request, "admin")
        return json_response(list(self._ring.tiers().values()))

    async def _list(self, request: Request) -> Response:
        authorize_operator(self._ring, request)
        return json_response([self._shown(name) for name in self._ring.tenants()])

    async def _show(self, request: Request) -> Response:
        tenant = administered(self._ring, request, request.path_params["name"])
        return json_response(self._shown(tenant.name))

    async def _add(self, request: Request) -> Response:
        access = authorize_operator(self._ring, request)
        asked = await read_body(request, NewTenant)
        if not TENANT_NAME.fullmatch(asked.name):
            raise _wrong(
                f"name {asked.name!r}: a letter or digit first, then up to 62 letters, digits "
                "and _.-"
            )
        _check_overrides(asked.overrides)

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            _check_tier(ring, asked.tier)
            before = ring.record(asked.name)
            if before is not None and before.removed_ms is None:
                raise Refused(HTTPStatus.CONFLICT, f"there is a tenant {asked.name!r} already")
            if before is not None and not asked.restore:
                raise Refused(
                    HTTPStatus.CONFLICT,
                    f"tenant {asked.name!r} was removed at {rfc3339(before.removed_ms)}, and what "
                    "it stored may still be there: take another name, or restore it (restore, "
                    "--restore)",
                )
            return [encode_entry(TenantRecord(asked.name, asked.tier, asked.overrides, {}, at_ms))]

        at_ms = now_ms()
        details = _in_words(asked.tier, asked.overrides)
        action = Action("tenant.add", asked.name, asked.name, details)
        await self._changes.make(request, access, action, plan)
        return json_response(self._shown(asked.name), HTTPStatus.CREATED)

    async def _set(self, request: Request) -> Response:
        access, name = authorize_operator(self._ring, request), request.path_params["name"]
        asked = await read_body(request, TenantChange)
        _check_overrides(asked.set)
        unknown = sorted(set(asked.unset) - set(LIMIT_NAMES))
        if unknown:
            raise _wrong(f"{unknown[0]}: no such limit; there are {', '.join(LIMIT_NAMES)}")

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            before = _known(ring, name)
            if asked.tier is not None:
                _check_tier(ring, asked.tier)
            overrides = {k: v for k, v in before.overrides.items() if k not in asked.unset}
            changed = msgspec.structs.replace(
                before, tier=asked.tier or before.tier, overrides=overrides | asked.set
            )
            return [encode_entry(changed)]

        details = _in_words(asked.tier, asked.set, asked.unset)
        action = Action("tenant.set", name, name, details)
        await self._changes.make(request, access, action, plan)
        return json_response(self._shown(name))

    async def _remove(self, request: Request) -> Response:
        access, name = authorize_operator(self._ring, request), request.path_params["name"]
        if name == DEFAULT_TENANT:
            raise Refused(
                HTTPStatus.CONFLICT, f"tenant {name!r} is the operator's: it cannot be removed"
            )

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            gone = msgspec.structs.replace(_known(ring, name), removed_ms=at_ms)
            keys = [key for key in ring.keys(name) if key.revoked_ms is None]
            revoked = [msgspec.structs.replace(key, revoked_ms=at_ms) for key in keys]
            return [encode_entry(gone), *map(encode_entry, revoked)]

        at_ms = now_ms()
        action = Action("tenant.remove", name, name, "with all its keys")
        await self._changes.make(request, access, action, plan)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _shown(self, name: str) -> TenantShown:
        record, tenant = self._ring.record(name), self._ring.tenant(name)
        if record is None or tenant is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {name!r}")
        return TenantShown(
            name,
            record.tier,
            tenant.limits,
            record.defaults | record.overrides,
            rfc3339(record.created_ms),
        )


def _known(ring: KeyRing, name: str) -> TenantRecord:
    record = ring.record(name)
    if record is None or record.removed_ms is not None:
        raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {name!r}")
    return record


def _check_tier(ring: KeyRing, tier: str) -> None:
    if tier not in ring.tiers():
        raise _wrong(f"tier {tier!r}: one of {', '.join(ring.tiers())}")


def _check_overrides(overrides: dict[str, LimitValue]) -> None:
    try:
        check_limits("tenant", "tier", _LEAST | overrides)
    except WrongLimits as error:
        raise _wrong(str(error)) from None


def _in_words(tier: str | None, given: dict[str, LimitValue], taken: Sequence[str] = ()) -> str:
    words = [f"tier {tier}"] if tier else []
    words += [f"{name}={msgspec.json.encode(value).decode()}" for name, value in given.items()]
    words += [f"{name} as the tier says" for name in taken]
    return ", ".join(words)


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)

"""`/api/v1/admin/keys`: a tenant's administrator looks after its keys, an operator after all."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.config import ConfigRecord, Key, encode_entry
from topology.clock import now_ms
from topology.http import Refused, authorize, measured_route, named_past_tenant, named_tenant
from topology.keys import Access, KeyRing, generate_key
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, choice
from topology.query_values import one_of
from topology.store.admin.changes import Action, Changes, json_response, read_body, rfc3339
from topology.store.queries import Queries
from topology.tenants import DEFAULT_TENANT

PATH = "/api/v1/admin/keys"
MAX_LIVE_KEYS = 1_000
_DAY_S = 86_400
_MAX_S = 3_650 * _DAY_S
_LAST_USED = """
    SELECT key_id, toUnixTimestamp64Milli(max(last_used)) FROM stored_key_uses GROUP BY key_id
    """

Scope = Literal["write", "read", "admin"]
Seconds = Annotated[int, Meta(ge=0, le=_MAX_S)]


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for a key. tenant: by default that of the key that asks. expires_s: from now on."""

    scopes: Annotated[list[Scope], Meta(min_length=1)]
    tenant: str | None = None
    expires_s: Annotated[int, Meta(ge=1, le=_MAX_S)] | None = None
    note: Annotated[str, Meta(max_length=200)] = ""


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for a new key in place of one that goes on for overlap_s."""

    overlap_s: Seconds = _DAY_S


class KeyShown(msgspec.Struct):
    """A key without its text; times are RFC 3339."""

    id: str
    tenant: str
    scopes: list[str]
    note: str
    state: str
    created: str | None
    expires: str | None
    last_used: str | None


class KeyMade(KeyShown):
    """A new key, with its text."""

    key: str


class KeyRotated(KeyMade):
    """A new key in place of another one, and when that ends."""

    replaces: str
    old_expires: str | None


_ALL = choice("all", "whether those that open nothing any more, too", ("true", "false"))
_LIST = Spec(
    "names a tenant's keys",
    query=(
        Parameter("tenant", "for operators: whose; left out: all"),
        _ALL,
    ),
    answer=list[KeyShown],
)
_CREATE = Spec("makes a key, which is shown once", NewKey, answers=(201,), answer=KeyMade)
_REVOKE = Spec("ends a key", answers=(204,))
_ROTATE = Spec("makes a key in place of another", Rotation, answers=(201,), answer=KeyRotated)


class KeysApi:
    """The routes. What a key is shows once, in the answer that makes it."""

    def __init__(self, ring: KeyRing, changes: Changes, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._changes = changes
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            measured_route(PATH, ["GET"], self._list, self._metrics, spec=_LIST),
            measured_route(PATH, ["POST"], self._create, self._metrics, spec=_CREATE),
            measured_route(
                PATH + "/{key_id}", ["DELETE"], self._revoke, self._metrics, spec=_REVOKE
            ),
            measured_route(
                PATH + "/{key_id}/rotate", ["POST"], self._rotate, self._metrics, spec=_ROTATE
            ),
        ]

    async def _list(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        named, at_ms = request.query_params.get("tenant"), now_ms()
        keys = self._ring.keys(named_past_tenant(self._ring, access, named))
        if one_of(request, _ALL, "false") == "false":
            keys = [key for key in keys if key.is_live(at_ms)]
        used: dict[str, int] = dict(await self._queries.operate(_LAST_USED))
        return json_response([_shown(key, at_ms, used.get(key.id)) for key in keys])

    async def _create(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        asked, at_ms = await read_body(request, NewKey), now_ms()
        tenant = named_tenant(self._ring, access, asked.tenant).name
        key, text = generate_key(tenant, dict.fromkeys(asked.scopes), secret=self._ring.secret)
        ends_ms = at_ms + asked.expires_s * 1000 if asked.expires_s else None
        key = msgspec.structs.replace(key, note=asked.note, created_ms=at_ms, expires_ms=ends_ms)

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            if ring.tenant(tenant) is None:
                raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {tenant!r}")
            _check_number(ring, tenant, at_ms)
            return [encode_entry(key)]

        action = Action("key.create", tenant, key.id, _in_words(key))
        await self._changes.make(request, access, action, plan)
        shown = msgspec.structs.asdict(_shown(key, at_ms))
        return json_response(KeyMade(**shown, key=text), HTTPStatus.CREATED)

    async def _revoke(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        key, at_ms = self._named(access, request.path_params["key_id"]), now_ms()

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            _check_another_remains(ring, key, at_ms)
            # As it is by now, which may be more than this process has seen.
            newest = ring.key(key.id) or key
            return [encode_entry(msgspec.structs.replace(newest, revoked_ms=at_ms))]

        if key.revoked_ms is None:
            action = Action("key.revoke", key.tenant, key.id, _in_words(key))
            await self._changes.make(request, access, action, plan)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _rotate(self, request: Request) -> Response:
        access = authorize(self._ring, request, "admin")
        asked, at_ms = await read_body(request, Rotation), now_ms()
        old = self._named(access, request.path_params["key_id"])
        new, text = generate_key(old.tenant, old.scopes, secret=self._ring.secret)
        lifetime_ms = old.expires_ms - old.created_ms if old.expires_ms else None
        new = msgspec.structs.replace(
            new,
            note=old.note,
            created_ms=at_ms,
            expires_ms=at_ms + lifetime_ms if lifetime_ms else None,
        )
        ends_ms = at_ms + asked.overlap_s * 1000
        ends_ms = min(ends_ms, old.expires_ms) if old.expires_ms else ends_ms

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            newest = ring.key(old.id) or old
            if not newest.is_live(at_ms):
                text = f"key {old.id} is {_state(newest, at_ms)}: create a new one"
                raise Refused(HTTPStatus.CONFLICT, text)
            _check_number(ring, old.tenant, at_ms)
            ending = msgspec.structs.replace(newest, expires_ms=ends_ms)
            return [encode_entry(new), encode_entry(ending)]

        details = f"by {new.id}; the old one ends {rfc3339(ends_ms)}"
        action = Action("key.rotate", old.tenant, old.id, details)
        await self._changes.make(request, access, action, plan)
        shown = msgspec.structs.asdict(_shown(new, at_ms))
        made = KeyRotated(**shown, key=text, replaces=old.id, old_expires=rfc3339(ends_ms))
        return json_response(made, HTTPStatus.CREATED)

    def _named(self, access: Access, key_id: str) -> Key:
        """Return a key that the administrator may change. Raises Refused, alike for any other."""
        key = self._ring.key(key_id)
        if key is None or access.tenant.name not in {key.tenant, DEFAULT_TENANT}:
            raise Refused(HTTPStatus.NOT_FOUND, f"no key {key_id!r}")
        return key


def _shown(key: Key, at_ms: int, used_ms: int | None = None) -> KeyShown:
    return KeyShown(
        id=key.id,
        tenant=key.tenant,
        scopes=list(key.scopes),
        note=key.note,
        state=_state(key, at_ms),
        created=rfc3339(key.created_ms),
        expires=rfc3339(key.expires_ms),
        last_used=rfc3339(used_ms),
    )


def _state(key: Key, at_ms: int) -> str:
    if key.is_live(at_ms):
        return "live"
    return "revoked" if key.revoked_ms else "expired"


def _check_number(ring: KeyRing, tenant: str, at_ms: int) -> None:
    n_live = sum(key.is_live(at_ms) for key in ring.keys(tenant))
    if n_live >= MAX_LIVE_KEYS:
        raise Refused(
            HTTPStatus.CONFLICT, f"tenant {tenant!r} has {n_live} keys: revoke one that is unused"
        )


def _check_another_remains(ring: KeyRing, key: Key, at_ms: int) -> None:
    if key.tenant != DEFAULT_TENANT or "admin" not in key.scopes:
        return
    others = [
        one
        for one in ring.keys(DEFAULT_TENANT)
        if one.id != key.id and "admin" in one.scopes and one.is_live(at_ms)
    ]
    if not others:
        raise Refused(
            HTTPStatus.CONFLICT,
            f"key {key.id} is the last admin key of tenant {DEFAULT_TENANT!r}: create one first",
        )


def _in_words(key: Key) -> str:
    ends = f", expires {rfc3339(key.expires_ms)}" if key.expires_ms else ""
    note = f", {key.note}" if key.note else ""
    return f"scopes {', '.join(key.scopes)}{ends}{note}"

"""What all changes by the admin API have in common: who made them, and that they are seen here."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from schemas.config import ConfigRecord
from schemas.events import Audited
from topology.clock import now_ms
from topology.config_feed import ConfigFeed
from topology.config_writer import Change, ConfigUnavailable, ConfigWriter
from topology.http import Refused, address_of
from topology.keys import Access, KeyRing

_SEEN_S = 5.0
_MAX_BODY_BYTES = 64_000


def _whole_if_it_is(text: str) -> int | float:
    """Return a number with a point: 2.0 is a whole one, as JSON Schema has it."""
    number = float(text)
    return int(number) if number.is_integer() else number


_JSON = msgspec.json.Decoder(float_hook=_whole_if_it_is)

Plan = Callable[[KeyRing], Sequence[ConfigRecord]]
_Asked = TypeVar("_Asked")


@dataclass(frozen=True, slots=True)
class Action:
    """What an administrator does: the words of its audit entry."""

    name: str
    tenant: str
    target: str
    details: str = ""


class Changes:
    """Makes changes with their audit entries, both or neither."""

    def __init__(self, writer: ConfigWriter, feed: ConfigFeed) -> None:
        self._writer = writer
        self._feed = feed

    async def make(self, request: Request, access: Access, action: Action, plan: Plan) -> None:
        """Make a change; return when this process follows it. Raises Refused."""
        entry = Audited(
            id=secrets.token_hex(8),
            time_ms=now_ms(),
            tenant=action.tenant,
            actor=access.key.id,
            actor_tenant=access.tenant.name,
            address=address_of(request),
            action=action.name,
            target=action.target,
            details=action.details,
        )
        try:
            offset = await self._writer.change(lambda ring: Change(plan(ring), [entry]))
        except ConfigUnavailable as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        await self._feed.reached(offset, _SEEN_S)


def system_entry(action: str, tenant: str, target: str, at_ms: int) -> Audited:
    """Return the audit entry of what this process does by itself."""
    return Audited(
        id=secrets.token_hex(8),
        time_ms=at_ms,
        tenant=tenant,
        actor="system",
        actor_tenant=tenant,
        address="",
        action=action,
        target=target,
    )


async def read_body(request: Request, kind: type[_Asked]) -> _Asked:
    """Return what the request's JSON body asks for. Raises Refused."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MAX_BODY_BYTES:
            text = f"the body may have {_MAX_BODY_BYTES} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    try:
        return msgspec.convert(_JSON.decode(received or b"{}"), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is wrong: {error}") from None


def json_response(answer: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def rfc3339(time_ms: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC, None where there is none."""
    if not time_ms:
        return None
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

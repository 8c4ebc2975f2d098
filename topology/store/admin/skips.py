"""`/api/v1/admin/skips`: lets stopped partitions go on, past records that cannot be read."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.config import ConfigRecord, SkipRecord, encode_entry
from topology.http import Refused, authorize_operator, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.store.admin.changes import Action, Changes, json_response, read_body
from topology.store.archive import TOPICS
from topology.tenants import DEFAULT_TENANT

PATH = "/api/v1/admin/skips"


class NewSkip(msgspec.Struct, forbid_unknown_fields=True):
    """Asks that what cannot be read before an offset of a partition goes to dead letters."""

    topic: Annotated[str, Meta(extra_json_schema={"enum": [one.value for one in TOPICS]})]
    partition: Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": (1 << 31) - 1})]
    until_offset: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": (1 << 63) - 1})]


_LIST = Spec("shows what partitions may pass over, for operators", answer=list[SkipRecord])
_SKIP = Spec(
    "lets a stopped partition pass over records that cannot be read", NewSkip, answer=SkipRecord
)


class SkipsApi:
    """The routes, for operators."""

    def __init__(self, ring: KeyRing, changes: Changes, metrics: Metrics) -> None:
        self._ring = ring
        self._changes = changes
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            measured_route(PATH, ["GET"], self._list, self._metrics, spec=_LIST),
            measured_route(PATH, ["POST"], self._skip, self._metrics, spec=_SKIP),
        ]

    async def _list(self, request: Request) -> Response:
        authorize_operator(self._ring, request)
        return json_response(self._ring.skips.all())

    async def _skip(self, request: Request) -> Response:
        access = authorize_operator(self._ring, request)
        asked = await read_body(request, NewSkip)
        _check(asked)
        record = SkipRecord(asked.topic, asked.partition, asked.until_offset)

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            del ring
            return [encode_entry(record)]

        target, details = f"{asked.topic}/{asked.partition}", f"until offset {asked.until_offset}"
        action = Action("records.skip", DEFAULT_TENANT, target, details)
        await self._changes.make(request, access, action, plan)
        return json_response(record)


def _check(asked: NewSkip) -> None:
    names = [topic.value for topic in TOPICS]
    if asked.topic not in names:
        raise _wrong(f"topic {asked.topic!r}: one of {', '.join(names)}")
    if not 0 <= asked.partition < 1 << 31:
        raise _wrong(f"partition {asked.partition}: 0 or more")
    if not 0 < asked.until_offset < 1 << 63:
        raise _wrong(f"until_offset {asked.until_offset}: 1 or more, the first offset to be kept")


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)

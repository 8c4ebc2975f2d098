"""`/api/v1/admin/skips`: lets stopped partitions go on, past records that cannot be read."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.config import ConfigRecord, SkipRecord, encode_entry
from schemas.topics import Topic
from topology.http import Refused, authorize_operator, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.settings import Settings
from topology.store.admin.changes import Action, Changes, json_response, read_body
from topology.store.archive import TOPICS
from topology.tenants import DEFAULT_TENANT
from topology.topics import count_partitions

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

    def __init__(
        self, settings: Settings, ring: KeyRing, changes: Changes, metrics: Metrics
    ) -> None:
        self._settings = settings
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
        await self._check_end(asked)
        record = SkipRecord(asked.topic, asked.partition, asked.until_offset)

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            del ring
            return [encode_entry(record)]

        target, details = f"{asked.topic}/{asked.partition}", f"until offset {asked.until_offset}"
        action = Action("records.skip", DEFAULT_TENANT, target, details)
        await self._changes.make(request, access, action, plan)
        return json_response(record)

    async def _check_end(self, asked: NewSkip) -> None:
        """Raise Refused for records that are not there yet, which may be sound, or no more."""
        try:
            bounds = await _bounds_of(self._settings, Topic(asked.topic), asked.partition)
        except KafkaError as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"Kafka: {error!r}") from None
        if bounds is None:
            text = f"partition {asked.partition}: topic {asked.topic} has none of it"
            raise Refused(HTTPStatus.NOT_FOUND, text)
        begin, end = bounds
        if not begin < asked.until_offset <= end:
            place = f"ends at {end}" if asked.until_offset > end else f"begins at {begin}"
            text = f"until_offset {asked.until_offset}: the log {place}"
            raise Refused(HTTPStatus.CONFLICT, text)


async def _bounds_of(settings: Settings, topic: Topic, partition: int) -> tuple[int, int] | None:
    """Return a partition's first offset and the one after its last, None where there is none."""
    bootstrap, place = settings.kafka_bootstrap, TopicPartition(settings.topic(topic), partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        counts = await count_partitions(admin, settings)
        if place.partition >= counts.get(topic, 0):
            return None
        await consumer.start()
        begins = await consumer.beginning_offsets([place])
        ends = await consumer.end_offsets([place])
        return begins[place], ends[place]
    finally:
        await admin.close()
        await consumer.stop()


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

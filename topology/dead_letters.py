"""Publishes records that cannot be read or stored to topic dead-letters."""

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.topics import Topic
from topology.runtime import Context

# A longer record is cut: in base64 it must still fit one message.
MAX_RECORD_BYTES = 600_000
_RETRY_S = 1.0
UNDECODABLE = "undecodable"


class Place(NamedTuple):
    """Where a record stands."""

    topic: Topic
    partition: int
    offset: int


class DeadLetters:
    """Sends and counts a stage's dead letters; `send` returns when the broker has them."""

    def __init__(self, stage: str, context: Context, producer: AIOKafkaProducer) -> None:
        self._stage = stage
        self._producer = producer
        self._topic = context.settings.topic(Topic.DEAD_LETTERS)
        self._metrics = context.metrics
        self._log = context.log

    async def send(
        self, place: Place, payload: bytes, reason: str, kind: str = UNDECODABLE
    ) -> None:
        """Publish a record with the reason, however long the broker is away.

        kind: what it is counted under.
        """
        if len(payload) > MAX_RECORD_BYTES:
            reason = f"{reason} (first {MAX_RECORD_BYTES} of {len(payload)} bytes kept)"
        letter = DeadLetter(self._stage, *place, reason, payload[:MAX_RECORD_BYTES])
        while True:
            try:
                await self._producer.send_and_wait(self._topic, encode_dead_letter(letter))
                break
            except KafkaError as error:
                self._log.warning("dead letter not acknowledged", error=str(error))
                await asyncio.sleep(_RETRY_S)
        self._metrics.records_dead_lettered.labels(place.topic.value, kind).inc()
        self._log.error("record dead-lettered", **place._asdict(), reason=reason)

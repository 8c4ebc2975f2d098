"""Publishes records that cannot be read to topic dead-letters."""

import asyncio

import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from schemas.dead_letters import DeadLetter, encode_dead_letter
from topology.metrics import Metrics

# A longer record is cut: in base64 it must still fit one message.
MAX_RECORD_BYTES = 600_000
_RETRY_S = 1.0


class DeadLetters:
    """Sends and counts dead letters; `send` returns when the broker has acknowledged."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._metrics = metrics
        self._log = log

    async def send(self, record: ConsumerRecord, topic: str, reason: str) -> None:
        """Publish the record with the reason, however long the broker is away."""
        payload = record.value or b""
        if len(payload) > MAX_RECORD_BYTES:
            reason = f"{reason} (first {MAX_RECORD_BYTES} of {len(payload)} bytes kept)"
        letter = encode_dead_letter(
            DeadLetter(topic, record.partition, record.offset, reason, payload[:MAX_RECORD_BYTES])
        )
        while True:
            try:
                await self._producer.send_and_wait(self._topic, letter)
                break
            except KafkaError as error:
                self._log.warning("dead letter not acknowledged", error=str(error))
                await asyncio.sleep(_RETRY_S)
        self._metrics.records_dead_lettered.labels(topic, "undecodable").inc()
        self._log.error(
            "record dead-lettered",
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
        )

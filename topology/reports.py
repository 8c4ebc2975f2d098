"""Tells topic `events` what a process has seen of its clients, a few records a minute."""

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.config import Key
from schemas.events import Event, KeyUsed, encode_events
from schemas.topics import Topic
from topology.clock import now_ms
from topology.keys import KeyRing
from topology.logins import RefusedLogins
from topology.runtime import Context

EVERY_S = 20.0
_LAST_S = 1.0
_MAX_KEYS = 10_000
_EVENTS_PER_RECORD = 1_000


class Reports:
    """Gathers uses of keys and refused logins; what the broker does not take is told later."""

    def __init__(
        self,
        context: Context,
        producer: AIOKafkaProducer,
        ring: KeyRing,
        gather: Callable[[int], Sequence[Event]] = lambda _: (),
    ) -> None:
        """Listen to a ring; gather: returns what else there is to tell at a time."""
        self._gather = gather
        self._context = context
        self._producer = producer
        self._topic = context.settings.topic(Topic.EVENTS)
        self._used: dict[str, KeyUsed] = {}
        self._logins = RefusedLogins()
        self._untold: list[Event] = []
        ring.on_use = self.use
        ring.on_refusal = self.refuse

    def use(self, key: Key, at_ms: int) -> None:
        """Remember when a key was used; of more than some thousand keys those that came first."""
        if key.id in self._used or len(self._used) < _MAX_KEYS:
            self._used[key.id] = KeyUsed(key.tenant, key.id, at_ms)

    def refuse(self, address: str, reason: str) -> None:
        """Count a refused login."""
        self._context.metrics.logins_refused.labels(reason).inc()
        self._logins.add(address, reason)

    async def run(self) -> None:
        """Tell what there is every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.tell(now_ms())

    async def tell_last(self) -> None:
        """Tell what there is before the process ends; a broker that is away is not waited for."""
        try:
            await asyncio.wait_for(self.tell(now_ms()), _LAST_S)
        except TimeoutError:
            self._context.log.warning("last events not told")

    async def tell(self, at_ms: int) -> None:
        """Publish what is gathered."""
        self._untold += self._logins.take(at_ms)
        self._untold += self._used.values()
        self._untold += self._gather(at_ms)
        self._used.clear()
        try:
            while self._untold:
                some = self._untold[:_EVENTS_PER_RECORD]
                await self._producer.send_and_wait(self._topic, encode_events(some))
                del self._untold[: len(some)]
        except KafkaError as error:
            self._context.log.warning("events not told", error=repr(error))
            # Uses of keys come again; what nobody took for long is not kept for ever.
            del self._untold[:-_EVENTS_PER_RECORD]

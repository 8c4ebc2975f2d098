"""What edges tell each other on topic `edges`: who is alive or elected, and types of metrics.

Each edge says every few seconds on topic `edges` that it is alive; one that is not heard of for
LIVE_S is gone. A tenant's rate is divided by their number. An edge that dies leaves the others with
too small a share for LIVE_S, never with too large a one: who cannot reach Kafka takes no samples.

Families of metrics are told of with the sign of life, and read some minutes back: those that its
senders repeat are told of again within that time.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from pipeline.election import Cluster, Leader
from pipeline.metric_table import FRESH_MIN
from schemas.edges import EdgeAlive, LeaderHeard, decode_alive, encode_alive
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.clock import now_ms
from topology.edge.intake import Registry
from topology.runtime import Context

EVERY_S = 5.0
LIVE_S = 15.0
_MINUTE_MS = 60_000
_RETRY_S = 1.0
_LOOK_S = 1.0
_FETCH_WAIT_MS = 5_000
_RECORDS_AT_ONCE = 64
_SAY_AGAIN_S = 3600.0


class Peers:
    """Counts the live edges, and hears what they tell."""

    def __init__(
        self,
        context: Context,
        producer: AIOKafkaProducer,
        registry: Registry,
    ) -> None:
        settings = context.settings
        port = settings.listen_port or settings.role_port("edge")
        self._name = f"{socket.gethostname()}/{settings.slot}/{port}"
        self._context = context
        self._producer = producer
        self._election = registry.pairs.election
        self._metadata = registry.metadata
        # When it was last said that there is no room for a tenant's metadata.
        self._said_s: dict[str, float] = {}
        self._edges = TopicPartition(settings.topic(Topic.EDGES), 0)
        self._is_started = False
        # Records of topic edges before this offset and time say nothing of who is alive.
        self._live_from, self._live_since_ms = 0, 0
        # When each other edge was heard of last, in the time of the loop.
        self._heard_s: dict[str, float] = {}
        context.metrics.edges_live.set_function(self.n_live)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            enable_auto_commit=False,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            auto_offset_reset="earliest",
        )

    def n_live(self) -> int:
        """Return how many edges are alive, this one among them."""
        since_s = asyncio.get_running_loop().time() - LIVE_S
        return 1 + sum(heard_s > since_s for heard_s in self._heard_s.values())

    async def run(self) -> None:
        """Tell and listen until cancelled."""
        tell = asyncio.create_task(self._until_cancelled(self._tell))
        try:
            await self._until_cancelled(self._listen)
        finally:
            tell.cancel()
            await asyncio.gather(tell, return_exceptions=True)
            await self._consumer.stop()

    async def leave(self) -> None:
        """Tell the others that they have this edge's share; what is not heard passes in LIVE_S."""
        try:
            await asyncio.wait_for(self._send(leaves=True), 1)
        except (KafkaError, TimeoutError) as error:
            self._context.log.info("edges not told", error=repr(error))

    async def _until_cancelled(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except KafkaError as error:
                # aiokafka reconnects by itself.
                self._context.log.warning("peers", error=repr(error))
                await asyncio.sleep(_RETRY_S)

    async def _tell(self) -> None:
        await self._send(leaves=False)
        self._say_left_out()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + EVERY_S
        # Others are told of an election at once.
        while loop.time() < until_s and not self._election.has_elected:
            await asyncio.sleep(_LOOK_S)

    async def _send(self, *, leaves: bool) -> None:
        leaders = [_heard(cluster, leader) for cluster, leader in self._election.take()]
        alive = EdgeAlive(self._name, leaves, leaders, self._metadata.take())
        record = encode_alive(alive)
        await self._producer.send_and_wait(self._edges.topic, record, partition=0)

    def _say_left_out(self) -> None:
        """Log of whose metadata there is more than room, of each tenant once an hour."""
        now_s = asyncio.get_running_loop().time()
        for tenant, n_families in self._metadata.take_left_out().items():
            if now_s - self._said_s.get(tenant, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
                self._said_s[tenant] = now_s
                self._context.log.warning(
                    "metadata left out: series of further metrics have no type",
                    tenant=tenant,
                    families=n_families,
                    max_names_of_tenant=self._metadata.max_of_tenant,
                )

    async def _listen(self) -> None:
        if not self._is_started:
            await self._consumer.start()
            self._is_started = True
        await self._assign()
        while True:
            batches = await self._consumer.getmany(timeout_ms=500, max_records=_RECORDS_AT_ONCE)
            for records in batches.values():
                for record in records:
                    self._take(record)

    async def _assign(self) -> None:
        """Read from the last minutes on, once."""
        place = self._edges
        if self._consumer.assignment():
            return
        since = {place: now_ms() - FRESH_MIN * _MINUTE_MS}
        at = (await self._consumer.offsets_for_times(since)).get(place)
        self._live_from = (await self._consumer.end_offsets([place]))[place]
        self._live_since_ms = now_ms() - int(LIVE_S * 1000)
        self._consumer.assign([place])
        self._consumer.seek(place, at.offset if at else self._live_from)

    def _take(self, record: ConsumerRecord) -> None:
        try:
            self._hear(decode_alive(record.value or b""), record)
        except (InvalidRecord, UnknownVersion) as error:
            self._context.log.warning("passed over", topic=self._edges.topic, error=str(error))

    def _hear(self, alive: EdgeAlive, record: ConsumerRecord) -> None:
        # What this edge itself has told, too: before it was started again.
        for families in alive.families:
            self._metadata.hear(families, min(record.timestamp, now_ms()))
        is_history = record.offset < self._live_from and record.timestamp < self._live_since_ms
        if alive.name == self._name or is_history:
            return
        for one in alive.leaders:
            leader = Leader(one.replica, one.since_ms, one.heard_ms)
            self._election.hear(Cluster(one.tenant, one.cluster), leader, now_ms())
        if alive.leaves:
            self._heard_s.pop(alive.name, None)
        else:
            self._heard_s[alive.name] = asyncio.get_running_loop().time()


def _heard(cluster: Cluster, leader: Leader) -> LeaderHeard:
    times = (leader.since_ms, leader.heard_ms)
    return LeaderHeard(cluster.tenant, cluster.name, leader.replica, *times)

"""What makes a store the place of administration: config topic, admin API, audit."""

import asyncio
from collections.abc import Coroutine

from aiokafka import AIOKafkaProducer
from starlette.routing import Route

from topology.anomaly_rules import read_rules
from topology.bootstrap import bootstrap_records
from topology.clock import now_ms
from topology.config_feed import ConfigFeed
from topology.config_writer import Change, ConfigWriter
from topology.dead_letters import DeadLetters
from topology.keys import KeyRing
from topology.reports import Reports
from topology.runtime import Context
from topology.store.admin.audit import AuditApi
from topology.store.admin.cardinality import CardinalityApi
from topology.store.admin.changes import Changes, system_entry
from topology.store.admin.keys import KeysApi
from topology.store.admin.score_rules import ScoreRulesApi
from topology.store.admin.skips import SkipsApi
from topology.store.admin.tenants import TenantsApi
from topology.store.client import Engine
from topology.store.events import EventArchive
from topology.store.gate import Gate
from topology.store.queries import Queries
from topology.tenants import DEFAULT_TENANT, default_tenant, load_tiers


class Administration:
    """Changes tenants and keys, and keeps what all processes tell of themselves."""

    def __init__(
        self, context: Context, feed: ConfigFeed, queries: Queries, producer: AIOKafkaProducer
    ) -> None:
        self._context = context
        self._feed = feed
        self._queries = queries
        self._producer = producer
        self._writer = ConfigWriter(context.settings)
        self._reports = Reports(context, producer, feed.ring)
        # Read now: a wrong file stops the start, before anything else is done.
        self._tiers = load_tiers(context.settings)
        self._score_rules = read_rules(context.settings.anomaly_rules)

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        ring, metrics = self._feed.ring, self._context.metrics
        changes = Changes(self._writer, self._feed)
        return [
            *TenantsApi(ring, changes, metrics).routes(),
            *KeysApi(ring, changes, self._queries, metrics).routes(),
            *CardinalityApi(ring, self._queries, metrics).routes(),
            *ScoreRulesApi(ring, changes, self._score_rules, metrics).routes(),
            *SkipsApi(self._context.settings, ring, changes, metrics).routes(),
            *AuditApi(ring, self._queries, metrics).routes(),
        ]

    async def begin(self, engine: Engine, gate: Gate) -> list[asyncio.Task[None]]:
        """Follow topic config, bootstrap it, keep and tell events: tasks to be cancelled."""
        await self._feed.start()
        await self._bootstrap()
        dead_letters = DeadLetters("events", self._context, self._producer)
        archive = EventArchive(self._context, engine, dead_letters, gate)
        return [self._run(archive.run()), self._run(self._reports.run())]

    async def _bootstrap(self) -> None:
        """Publish tiers, the default tenant and its key where they are missing."""
        if self._feed.ring.problem is not None or not self._missing(self._feed.ring).records:
            return
        offset = await self._writer.change(self._missing)
        await self._feed.reached(offset, 5.0)
        key_file = str(self._context.settings.key_file)
        self._context.log.info("default tenant published", key_file=key_file)

    async def stop(self) -> None:
        """Give connections back."""
        await self._feed.stop()
        await self._writer.stop()

    def _missing(self, ring: KeyRing) -> Change:
        settings, at_ms = self._context.settings, now_ms()
        wanted = default_tenant(settings)
        records = bootstrap_records(ring, settings.key_file, wanted, self._tiers, at_ms)
        names = ", ".join(key.decode() for key, _ in records)
        entry = system_entry("start", DEFAULT_TENANT, names, at_ms)
        return Change(records, [entry])

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._context.fail(f"events: {bug!r}")

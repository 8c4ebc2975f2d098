"""The load of a campaign: two clients, and generations of what they send."""

from pathlib import Path

import numpy as np

from ops import api
from ops.faults.client import Client, Stream
from ops.faults.plan import Plan
from ops.faults.running import Up, wait
from ops.faults.tenants import add_tenant
from ops.faults.traffic import HOUR_MS, Pattern, Source
from topology.clock import now_ms
from topology.tenants import DEFAULT_TENANT, Tenant

LIVE, FAST = "faults_live", "faults_fast"
_FAST_STEP_MS, _FAST_PAUSE_S = 10_000, 0.1
# A live step of 400 series comes every half second, one of 40,000 every 13 seconds.
_LEAST_LIVE_STEP_MS, _LIVE_SAMPLES_PER_S = 500, 3_000
# History that is sent at a hundred times its speed: a day of it is more than a generation.
_FAST_BEGIN_MS = 24 * HOUR_MS
# Every other generation the live client is so far behind, as agents with a queue are.
LIVE_DELAY_MS = 75_000
_KEY_KNOWN_S = 30.0
_ENTERPRISE, _DAYS = "enterprise", 30


class Load:
    """Sends without a break; what it sends changes its labels, and one client its tenant, too.

    So a generation that has ended can be compared with what is stored while the next one is sent.
    """

    def __init__(self, up: Up, plan: Plan) -> None:
        self._up = up
        self._plan = plan
        self.streams: list[Stream] = []
        self.ended_ms: dict[int, int] = {}
        self._edges = self._edge_urls()
        live, fast = self._new_streams()
        self.clients = (Client(lambda: self._edges, live), Client(lambda: self._edges, fast))

    @property
    def generation(self) -> int:
        """The one that is being sent."""
        return self.streams[-1].generation

    def start(self) -> None:
        """Begin with the first generation."""
        for client in self.clients:
            client.start()

    def next_generation(self) -> None:
        """Go over to the next one; return when all of the one before is acknowledged."""
        before = self.generation
        for client, stream in zip(self.clients, self._new_streams(), strict=True):
            client.switch(stream)
        self.ended_ms[before] = now_ms()

    def finish(self) -> None:
        """End when what is under way is acknowledged."""
        for client in self.clients:
            client.finish()
        self.ended_ms[self.generation] = now_ms()

    def follow_edges(self) -> None:
        """Use the edges that the deployment has by now."""
        self._edges = self._edge_urls()

    def check(self) -> None:
        """Raise what has ended a client, if anything has."""
        for client in self.clients:
            client.check()

    def of(self, generation: int) -> list[Stream]:
        """Return the streams of a generation."""
        return [stream for stream in self.streams if stream.generation == generation]

    def n_samples(self) -> int:
        """Return how many samples have been acknowledged."""
        return sum(stream.ledger.n_samples for stream in self.streams)

    def facts(self) -> dict[str, object]:
        """Return totals of what was sent."""
        ledgers = [stream.ledger for stream in self.streams]
        return {
            "requests": sum(map(len, ledgers)),
            "samples": self.n_samples(),
            "retries": sum(ledger.n_retries for ledger in ledgers),
            "refused_in_future": sum(ledger.n_refused for ledger in ledgers),
            "generations": self.generation + 1,
        }

    def _edge_urls(self) -> list[str]:
        return [self._up.url(name) for name in self._up.names("edge")]

    def _new_streams(self) -> tuple[Stream, Stream]:
        generation = self.generation + 1 if self.streams else 0
        seeds = np.random.SeedSequence([self._plan.seed, generation]).spawn(2)
        begin_ms = now_ms() // 1000 * 1000
        delay_ms = LIVE_DELAY_MS * (generation % 2 == 0)
        live = Pattern(
            self._plan.n_live,
            max(_LEAST_LIVE_STEP_MS, self._plan.n_live * 1000 // _LIVE_SAMPLES_PER_S),
            begin_ms - delay_ms,
            0.0,
            is_live=True,
            delay_ms=delay_ms,
        )
        fast = Pattern(self._plan.n_fast, _FAST_STEP_MS, begin_ms - _FAST_BEGIN_MS, _FAST_PAUSE_S)
        # All four ways to have sketches and windows of 10 s come by turns.
        tenant = Tenant(
            f"faults-{generation}",
            _ENTERPRISE,
            _DAYS,
            sketches=generation % 4 < 2,
            fine_windows=generation % 2 == 0,
        )
        default = Tenant(DEFAULT_TENANT, _ENTERPRISE, _DAYS)
        sources = [
            Source(pattern, np.random.default_rng(seed))
            for pattern, seed in zip((live, fast), seeds, strict=True)
        ]
        streams = (
            Stream(sources[0], default, self._up.key(), LIVE, generation),
            Stream(sources[1], tenant, self._make_known(tenant), FAST, generation),
        )
        self.streams += streams
        return streams

    def _make_known(self, tenant: Tenant) -> str:
        """Publish the tenant and wait until every edge and the store know its key."""
        run = self._up.run
        key = add_tenant(run["kafka"], Path(run["key_file"]).parent, tenant)
        paths = [f"{url}/api/v1/ingest" for url in self._edge_urls()]
        paths.append(f"{self._up.url('store')}/api/v1/sql?query=SELECT%201")
        for url in paths:
            wait(
                lambda url=url: api.request("GET", url, key=key).status == 200,  # type: ignore[misc]
                _KEY_KNOWN_S,
                f"{url} knows the key of tenant {tenant.name}",
            )
        return key

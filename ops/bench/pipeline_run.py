"""One run of a load through all processes, measured from outside them."""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cramjam

from ops import api
from ops.admin import Admin
from ops.bench.processes import PeakMemory, cpu_seconds, peak_rss_bytes, pss_bytes, wait_quiet
from ops.bench.scrapes import SAMPLES_PER_REQUEST, encode_load, scrape_times_ms
from ops.demo.check import closed_until_ms, n_samples, wait_for
from ops.demo.deployment import Deployment, deployment
from ops.demo.disk import table_bytes
from ops.loadgen import Body, SendError, Sent, send
from ops.query import Service
from topology.clock import now_ms
from topology.settings import Settings

# As many as a fleet of agents keeps open; one waits for its answer before it sends again.
CONNECTIONS = 16
_STORED_DEADLINE_S = 240.0
_KEYS_DEADLINE_S = 10.0
# Each takes some queries.
_TENANTS_CHECKED = 10
# The last windows close after 15 s of silence, so their rollups count in.
SETTLE_S = 25.0
QUICK_SETTLE_S = 1.0
_WATCH_EVERY_S = 1.0
_LAG = "observai_stage_lag_seconds"


class LossError(Exception):
    """Samples that were accepted cannot be queried, or their rollups do not add up."""


@dataclass(frozen=True, slots=True)
class Load:
    """Scrapes of so many series; those of the first warm_steps come before the measurement.

    samples_per_s: the pace; without one they come as fast as they are taken. together and
    per_request: see encode_load; steps and warm_steps are multiples of the former. tenants: each
    has the series of as many requests; of one, it is the default tenant.
    """

    series: int
    steps: int
    seed: int
    warm_steps: int = 0
    settle_s: float = SETTLE_S
    samples_per_s: float = math.inf
    together: int = 1
    per_request: int = SAMPLES_PER_REQUEST
    tenants: int = 1

    @property
    def label(self) -> str:
        """Name of the load in figures."""
        pace = "" if self.samples_per_s == math.inf else f" at {self.samples_per_s:,.0f}/s"
        return f"{self.series:,} series{pace}"


@dataclass(slots=True)
class Run:
    """What was measured. cpu_s, peak_pss: by process; sizes in bytes; lag_s: one a second."""

    n_samples: int
    sent: Sent
    queryable_s: float
    settled_s: float
    cpu_s: dict[str, float]
    idle_pss: int
    peak_pss: dict[str, int]
    peak_pss_of_all: int
    peak_rss: dict[str, int]
    tables: dict[str, int] = field(default_factory=dict)
    lag_s: list[float] = field(default_factory=list)

    @property
    def samples_per_cpu_s(self) -> float:
        """Samples per CPU-second of all processes, Kafka and the supervisor included."""
        return self.n_samples / sum(self.cpu_s.values())


def run_load(load: Load, settings: Settings) -> Run:
    """Send the load, wait until all is stored and quiet, check it, and look at the bill.

    Raises LossError.
    """
    end_ms = now_ms()
    times_ms = scrape_times_ms(load.steps, end_ms)
    bodies = encode_load(load.series, times_ms, load.seed, load.together, load.per_request)
    n_sent = sum(body.n_samples for step in bodies for body in step)
    with deployment(settings) as running:
        keys = _add_tenants(running, load.tenants) if load.tenants > 1 else [running.key]
        run = _measure(running, [_dealt(step, keys) for step in bodies], load)
        for key in keys[:_TENANTS_CHECKED]:
            _check(running, running.store(key), n_sent // len(keys), end_ms)
        run.tables = table_bytes(running.settings.data_dir / "chdb")
    return run


def _add_tenants(running: Deployment, n: int) -> list[str]:
    """Add tenants without limits; return a key of each, once the edge knows them."""
    admin = Admin(running.store())
    keys = []
    for at in range(n):
        name = f"tenant-{at:04d}"
        admin.ask("POST", "/tenants", {"name": name, "tier": "enterprise"})
        keys.append(
            admin.ask("POST", "/keys", {"scopes": ["write", "read"], "tenant": name})["key"]
        )
    # Changes reach every process within two seconds; a key that is not known is refused.
    probe = [[Body(bytes(cramjam.snappy.compress_raw(b"")), 0, keys[-1])]]
    wait_for(lambda: _is_taken(running, probe), 1, _KEYS_DEADLINE_S)
    return keys


def _is_taken(running: Deployment, probe: list[list[Body]]) -> int:
    try:
        asyncio.run(send(running.write_url, running.key, probe))
    except SendError:
        return 0
    return 1


def _dealt(step: list[Body], keys: list[str]) -> list[Body]:
    """Return the bodies of a step, as many after each other for each key."""
    return [replace(body, key=keys[at * len(keys) // len(step)]) for at, body in enumerate(step)]


def _measure(running: Deployment, bodies: list[list[Body]], load: Load) -> Run:
    pids = running.pids | {"supervisor": running.process.pid}
    wait_quiet(pids, 1.0, deadline_s=15.0)
    idle_pss = sum(pss_bytes(pids).values())
    n_warm_bodies = load.warm_steps // load.together
    n_warm = _send_warm(running, bodies[:n_warm_bodies], pids)
    measured = bodies[n_warm_bodies:]
    n_measured = sum(body.n_samples for step in measured for body in step)
    before = cpu_seconds(pids)
    with PeakMemory(pids) as memory:
        began_s = time.monotonic()
        sent, lag_s = asyncio.run(_send_and_watch(running, measured, load.samples_per_s))
        wait_stored(running, n_warm + n_measured)
        queryable_s = time.monotonic() - began_s
        settled_s = wait_quiet(pids, load.settle_s)
    after = cpu_seconds(pids)
    used = {name: after[name] - before[name] for name in pids}
    return Run(
        n_measured,
        sent,
        queryable_s,
        settled_s,
        used,
        idle_pss,
        memory.peak,
        memory.peak_of_all,
        peak_rss_bytes(pids),
        lag_s=lag_s,
    )


def _send_warm(running: Deployment, bodies: list[list[Body]], pids: dict[str, int]) -> int:
    if not bodies:
        return 0
    sent = asyncio.run(send(running.write_url, running.key, bodies, CONNECTIONS))
    wait_stored(running, sent.n_samples)
    wait_quiet(pids, 2.0, deadline_s=30.0)
    return sent.n_samples


async def _send_and_watch(
    running: Deployment, bodies: Sequence[Sequence[Body]], samples_per_s: float
) -> tuple[Sent, list[float]]:
    lag_s: list[float] = []
    watch = asyncio.create_task(_watch_lag(running, lag_s))
    sent = await send(running.write_url, running.key, bodies, CONNECTIONS, samples_per_s)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    return sent, lag_s


async def _watch_lag(running: Deployment, lag_s: list[float]) -> None:
    while True:
        await asyncio.sleep(_WATCH_EVERY_S)
        lag_s.append(await asyncio.to_thread(_largest_lag_s, running))


def _largest_lag_s(running: Deployment) -> float:
    return max(
        lag for role in ("worker", "store") for lag in lags_s(running.settings.role_url(role))
    )


def lags_s(url: str) -> Iterator[float]:
    """Yield the lag of each stage and partition of a role, at least one 0."""
    yield 0.0
    yield from api.metric_values(url, _LAG)


def wait_stored(running: Deployment, n_wanted: int) -> None:
    """Wait until so many samples are stored. Raises LossError at the deadline."""

    def stored() -> float:
        return running.counter("store", "observai_samples_stored_total")

    if wait_for(stored, n_wanted, _STORED_DEADLINE_S) is None:
        raise LossError(f"{stored():,.0f} of {n_wanted:,} samples stored in time")


def _check(running: Deployment, store: Service, n_sent: int, end_ms: int) -> None:
    """Compare a tenant's counts after the measurement: samples sent, stored, and rolled up."""
    if (found := n_samples(store)) != n_sent:
        raise LossError(f"{n_sent:,} samples accepted, {found:,} can be queried")
    before_s = closed_until_ms(end_ms, running.settings.lateness_s) // 1000
    n_in_windows = store.table(
        f"SELECT countIf(toUnixTimestamp(time) < {before_s}) FROM samples"  # noqa: S608 - numbers only
    ).rows[0][0]
    of_minutes = f"width_s = 60 AND toUnixTimestamp(window_start) < {before_s}"
    rolled_up = f"SELECT sum(count) FROM rollups WHERE {of_minutes}"  # noqa: S608 - numbers only

    def n_rolled_up() -> int:
        return int(store.table(rolled_up).rows[0][0])

    if wait_for(n_rolled_up, n_in_windows, 30.0) is None or n_rolled_up() != n_in_windows:
        raise LossError(f"{n_in_windows:,} samples in closed windows, {n_rolled_up():,} rolled up")

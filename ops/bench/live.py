"""At 100,000 samples a second: the delay until a sample can be queried, and a killed worker."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ops import api
from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import CONNECTIONS, lags_s
from ops.bench.scrapes import encode_load
from ops.demo.deployment import Deployment, deployment
from ops.loadgen import Body, send
from ops.query import Service
from topology.clock import now_ms
from topology.settings import Settings

NAME = "live"
RATE = 100_000
SECONDS, QUICK_SECONDS = 60, 6
WANTED_P50_S, WANTED_P99_S, WANTED_RECOVERY_S = 1.0, 2.0, 15.0
_PROBE_EVERY_S, _POLL_EVERY_S = 0.25, 0.05
_PROBE = "observai_bench_probe"
_CAUGHT_UP_LAG_S = 2.0
_DEADLINE_S = 60.0
# Time to make the bodies before they are to be sent.
_ENCODE_S_PER_SAMPLE = 2.5e-6
# In which the series are announced.
_WARM_S = 3


# When it is to be sent, ms since the Unix epoch, and its bodies.
Step = tuple[int, list[Body]]


@dataclass(slots=True)
class Probes:
    """Acknowledged probes by their event time in ms, and when each was first seen by a query."""

    acknowledged_s: dict[int, float] = field(default_factory=dict)
    delays_s: list[float] = field(default_factory=list)
    seen_ms: int = 0

    def see(self, newest_ms: int, now_s: float) -> None:
        """Take note of the newest probe that a query has found."""
        if newest_ms > self.seen_ms:
            new = [at for at in self.acknowledged_s if self.seen_ms < at <= newest_ms]
            self.delays_s += [now_s - self.acknowledged_s[at] for at in new]
            self.seen_ms = newest_ms


def run(plan: Plan) -> Measurement:
    """Send at the rate, probe meanwhile; then kill the worker and wait until it has caught up."""
    rate = RATE // 10 if plan.is_quick else RATE
    seconds = QUICK_SECONDS if plan.is_quick else SECONDS
    probes = Probes()
    with deployment(Settings()) as running:
        steps = _steps(rate, _WARM_S + 2 * seconds, plan.seed)
        asyncio.run(_send_paced(running, steps[:_WARM_S]))
        asyncio.run(_probe_under_load(running, steps[_WARM_S:-seconds], probes))
        recovery_s = asyncio.run(_recover_under_load(running, steps[-seconds:]))
    p50_s, p99_s = np.quantile(probes.delays_s, [0.5, 0.99]).tolist()
    wanted = (
        (None, None, None) if plan.is_quick else (WANTED_P50_S, WANTED_P99_S, WANTED_RECOVERY_S)
    )
    return Measurement(
        [
            Figure(NAME, "acknowledged to queryable, p50", "s", [p50_s], at_most=wanted[0]),
            Figure(NAME, "acknowledged to queryable, p99", "s", [p99_s], at_most=wanted[1]),
            Figure(NAME, "worker kill -9 to caught up", "s", [recovery_s], at_most=wanted[2]),
        ],
        {"samples_per_s": rate, "probes": len(probes.delays_s), "poll_every_s": _POLL_EVERY_S},
    )


def _steps(n_series: int, n_steps: int, seed: int) -> list[Step]:
    """Return a scrape a second of n_series, each with the time at which it is to be sent."""
    first_ms = now_ms() + int(1000 * _ENCODE_S_PER_SAMPLE * n_series * n_steps)
    times_ms = first_ms + 1000 * np.arange(n_steps)
    bodies = encode_load(n_series, times_ms, seed)
    return list(zip(times_ms.tolist(), bodies, strict=True))


async def _probe_under_load(running: Deployment, steps: Sequence[Step], probes: Probes) -> None:
    async with _load(running, steps) as load:
        prober = asyncio.create_task(_send_probes(running, probes))
        watcher = asyncio.create_task(_watch_probes(running, probes))
        await load
        prober.cancel()
        await asyncio.sleep(_PROBE_EVERY_S)
        watcher.cancel()
        await asyncio.gather(prober, watcher, return_exceptions=True)


async def _send_probes(running: Deployment, probes: Probes) -> None:
    url = f"{running.settings.role_url('edge')}/api/v1/ingest"
    while True:
        at_ms = now_ms()
        point = {"name": _PROBE, "value": 1, "timestamp": at_ms}
        body = msgspec.json.encode({"metrics": [point]})
        await asyncio.to_thread(api.request, "POST", url, key=running.key, body=body)
        probes.acknowledged_s[at_ms] = time.monotonic()
        await asyncio.sleep(_PROBE_EVERY_S)


async def _watch_probes(running: Deployment, probes: Probes) -> None:
    store = running.store()
    while True:
        newest_ms = await asyncio.to_thread(_newest_probe_ms, store)
        probes.see(newest_ms, time.monotonic())
        await asyncio.sleep(_POLL_EVERY_S)


def _newest_probe_ms(store: Service) -> int:
    statement = f"SELECT toUnixTimestamp64Milli(max(time)) FROM samples WHERE metric = '{_PROBE}'"  # noqa: S608 - constant
    return int(store.table(statement).rows[0][0])


async def _recover_under_load(running: Deployment, steps: Sequence[Step]) -> float:
    """Kill the worker in the middle of the load; return the seconds until its lag is small."""
    async with _load(running, steps) as load:
        await asyncio.sleep(len(steps) / 3)
        os.kill(running.pids["worker"], signal.SIGKILL)
        began_s = time.monotonic()
        url = running.settings.role_url("worker")
        async with asyncio.timeout(_DEADLINE_S):
            while not await asyncio.to_thread(_has_caught_up, url):
                await asyncio.sleep(_POLL_EVERY_S)
        recovery_s = time.monotonic() - began_s
        await load
    return recovery_s


def _has_caught_up(url: str) -> bool:
    """Whether the worker is ready and no partition's oldest record waits for long."""
    try:
        if api.request("GET", f"{url}/readyz", timeout_s=1).status != 200:
            return False
        lags = list(lags_s(url))
    except OSError:
        return False
    # The first is a 0 that stands for none; without any other, nothing has been read yet.
    return len(lags) > 1 and max(lags) < _CAUGHT_UP_LAG_S


@contextlib.asynccontextmanager
async def _load(running: Deployment, steps: Sequence[Step]) -> AsyncIterator[asyncio.Task[None]]:
    """Send one step a second beside the block."""
    task = asyncio.create_task(_send_paced(running, steps))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send_paced(running: Deployment, steps: Sequence[Step]) -> None:
    for time_ms, bodies in steps:
        await asyncio.sleep(max(0, time_ms - now_ms()) / 1000)
        await send(running.write_url, running.key, [bodies], CONNECTIONS)

"""One edge over HTTP: samples acknowledged a second of its CPU, and how long a request takes."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence

import numpy as np

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import CONNECTIONS
from ops.bench.processes import cpu_seconds
from ops.bench.scrapes import SAMPLES_PER_REQUEST, encode_load, scrape_times_ms
from ops.demo.deployment import Deployment, deployment
from ops.loadgen import Body, Sender, send
from topology.clock import now_ms
from topology.settings import Settings

NAME = "edge"
WANTED_PER_CPU_S = 1_500_000
WANTED_P99_MS = 25.0
STEPS, QUICK_STEPS = 20, 3
_SECONDS_AT_HALF, _QUICK_SECONDS_AT_HALF = 10, 1
_READERS = ("worker", "store", "notifier")


def run(plan: Plan) -> Measurement:
    """Send as fast as it is taken, then at half of that pace, with all readers stopped."""
    steps = QUICK_STEPS if plan.is_quick else STEPS
    load = encode_load(plan.series, scrape_times_ms(steps + 1, now_ms()), plan.seed)
    with deployment(Settings()) as running, _stopped(running, _READERS):
        asyncio.run(send(running.write_url, running.key, load[:1], CONNECTIONS))
        edge = {"edge": running.pids["edge"]}
        before_s = cpu_seconds(edge)["edge"]
        sent = asyncio.run(send(running.write_url, running.key, load[1:], CONNECTIONS))
        # What the kernel counts is in hundredths: a short run may take none.
        cpu_s = max(cpu_seconds(edge)["edge"] - before_s, 0.01)
        per_s = sent.n_samples / sent.seconds
        bodies = [body for step in load[1:] for body in step]
        seconds = _QUICK_SECONDS_AT_HALF if plan.is_quick else _SECONDS_AT_HALF
        waits_s = asyncio.run(_paced(running, bodies, per_s / 2, seconds))
    p50_ms, p99_ms = (1000 * np.quantile(waits_s, [0.5, 0.99])).tolist()
    rate, latency = (None, None) if plan.is_quick else (WANTED_PER_CPU_S, WANTED_P99_MS)
    of = f"request of {SAMPLES_PER_REQUEST:,} samples at half load"
    per_cpu_s = sent.n_samples / cpu_s
    return Measurement(
        [
            Figure(NAME, "remote write to acknowledged", "samples/s a core", [per_cpu_s], rate),
            Figure(NAME, "the same by the clock", "samples/s", [per_s]),
            Figure(NAME, f"{of}, p50", "ms", [p50_ms]),
            Figure(NAME, f"{of}, p99", "ms", [p99_ms], at_most=latency),
        ],
        {"series": plan.series, "samples": sent.n_samples, "requests_at_half": len(waits_s)},
    )


@contextlib.contextmanager
def _stopped(running: Deployment, roles: Sequence[str]) -> Iterator[None]:
    """Stop processes while the block runs: what they would use is not the edge's."""
    pids = [running.pids[role] for role in roles]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def _paced(
    running: Deployment, bodies: Sequence[Body], samples_per_s: float, seconds: float
) -> list[float]:
    """Send requests at even intervals; return how long after it was due each was answered."""
    interval_s = bodies[0].n_samples / samples_per_s
    due: asyncio.Queue[tuple[float, Body]] = asyncio.Queue()
    waits_s: list[float] = []

    async def work(sender: Sender) -> None:
        while True:
            at_s, body = await due.get()
            await sender.send(body)
            waits_s.append(time.perf_counter() - at_s)
            due.task_done()

    senders = [Sender(running.write_url, running.key) for _ in range(CONNECTIONS)]
    workers = [asyncio.create_task(work(sender)) for sender in senders]
    began_s = time.perf_counter()
    for at in range(int(seconds / interval_s)):
        at_s = began_s + at * interval_s
        await asyncio.sleep(max(0.0, at_s - time.perf_counter()))
        due.put_nowait((at_s, bodies[at % len(bodies)]))
    await due.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for sender in senders:
        sender.close()
    return waits_s

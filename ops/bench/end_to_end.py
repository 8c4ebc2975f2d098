"""The whole pipeline under load: rate, delay, CPU of every process, disk, memory, and no loss."""

import asyncio
import time
from dataclasses import dataclass

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.processes import MB, PeakMemory, cpu_seconds, peak_rss_bytes, wait_quiet
from ops.bench.scrapes import encode_load
from ops.demo.check import closed_until_ms, n_samples, wait_for
from ops.demo.deployment import Deployment, deployment
from ops.demo.disk import table_bytes
from ops.loadgen import Body, Sent, send
from topology.clock import now_ms
from topology.settings import Settings

NAME = "end_to_end"
WANTED_SAMPLES_PER_CPU_S = 200_000
CONNECTIONS = 4
_STORED_DEADLINE_S = 120.0
# The last windows close after 15 s of silence, so their rollups count in.
SETTLE_S = 25.0
QUICK_SETTLE_S = 1.0


class LossError(Exception):
    """Samples that were accepted cannot be queried, or their rollups do not add up."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured from outside the processes."""

    sent: Sent
    queryable_s: float
    settled_s: float
    cpu_s: dict[str, float]
    peak_pss: dict[str, int]
    peak_pss_of_all: int
    peak_rss: dict[str, int]


def run(plan: Plan) -> Measurement:
    """Send N series x steps, wait until all is stored and quiet, and look at the bill."""
    end_ms = now_ms()
    load = encode_load(plan.series, plan.steps, end_ms, plan.seed)
    with deployment(Settings()) as running:
        done = _measure(running, load, plan)
        lossless = _check(running, done.sent.n_samples, end_ms)
        tables = table_bytes(running.settings.data_dir / "chdb")
    n_sent = done.sent.n_samples
    figures = [
        Figure(NAME, "accepted", "samples/s", [n_sent / done.sent.seconds]),
        Figure(NAME, "all queryable", "s", [done.queryable_s]),
        Figure(NAME, "until all queryable", "samples/s", [n_sent / done.queryable_s]),
        Figure(
            NAME,
            "all processes",
            "samples/CPU-s",
            [n_sent / sum(done.cpu_s.values())],
            at_least=None if plan.is_quick else WANTED_SAMPLES_PER_CPU_S,
        ),
        *(Figure(NAME, f"CPU of {name}", "s", [used]) for name, used in done.cpu_s.items()),
        *_disk_figures(tables, n_sent),
        Figure(NAME, "peak memory of all (PSS)", "MB", [done.peak_pss_of_all / MB]),
        *(
            Figure(NAME, f"peak memory of {name} (PSS)", "MB", [size / MB])
            for name, size in done.peak_pss.items()
        ),
    ]
    facts = {
        "series": plan.series, "steps": plan.steps, "samples": n_sent, "lossless": lossless,
        "connections": CONNECTIONS, "retries": done.sent.n_retries,
        "request_bytes": done.sent.n_bytes, "settled_s": round(done.settled_s, 1),
        "peak_rss_mb": {name: round(size / MB) for name, size in done.peak_rss.items()},
        "table_bytes": tables,
    }  # fmt: skip
    return Measurement(figures, facts)


def _measure(running: Deployment, load: list[list[Body]], plan: Plan) -> Run:
    pids = running.pids | {"supervisor": running.process.pid}
    n_samples_sent = sum(body.n_samples for step in load for body in step)
    wait_quiet(pids, 1.0, deadline_s=15.0)
    before = cpu_seconds(pids)
    with PeakMemory(pids) as memory:
        began_s = time.monotonic()
        sent = asyncio.run(send(running.write_url, running.key, load, CONNECTIONS))

        def stored() -> float:
            return running.counter("store", "observai_samples_stored_total")

        if wait_for(stored, n_samples_sent, _STORED_DEADLINE_S) is None:
            raise LossError(f"{stored():,.0f} of {n_samples_sent:,} samples stored in time")
        queryable_s = time.monotonic() - began_s
        settled_s = wait_quiet(pids, QUICK_SETTLE_S if plan.is_quick else SETTLE_S)
    after = cpu_seconds(pids)
    used = {name: after[name] - before[name] for name in pids}
    return Run(
        sent, queryable_s, settled_s, used, memory.peak, memory.peak_of_all, peak_rss_bytes(pids)
    )


def _check(running: Deployment, n_sent: int, end_ms: int) -> bool:
    """Compare counts after the measurement: samples sent, stored, and rolled up."""
    store = running.store()
    if (found := n_samples(store)) != n_sent:
        raise LossError(f"{n_sent:,} samples accepted, {found:,} can be queried")
    before_s = closed_until_ms(end_ms, running.settings.lateness_s) // 1000
    n_in_windows = store.table(
        f"SELECT countIf(toUnixTimestamp(time) < {before_s}) FROM samples"  # noqa: S608 - numbers only
    ).rows[0][0]
    rolled_up = f"SELECT sum(count) FROM rollups WHERE toUnixTimestamp(window_start) < {before_s}"  # noqa: S608 - numbers only

    def n_rolled_up() -> int:
        return int(store.table(rolled_up).rows[0][0])

    if wait_for(n_rolled_up, n_in_windows, 30.0) is None or n_rolled_up() != n_in_windows:
        raise LossError(f"{n_in_windows:,} samples in closed windows, {n_rolled_up():,} rolled up")
    return True


def _disk_figures(tables: dict[str, int], n_sent: int) -> list[Figure]:
    samples = tables["stored_samples"] / n_sent
    others = (tables["stored_rollups"] + tables["stored_series"]) / n_sent
    return [
        Figure(NAME, "disk, samples", "bytes/sample", [samples]),
        Figure(NAME, "disk, rollups and series", "bytes/sample", [others]),
    ]

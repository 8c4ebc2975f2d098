"""The whole pipeline under load: rate, delay, CPU of every process, disk, memory, and no loss."""

import math

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import CONNECTIONS, QUICK_SETTLE_S, Load, Run, run_load
from ops.bench.processes import MB
from topology.settings import Settings

NAME = "end_to_end"
# Of the plan's series, and of five times as many.
WANTED_SAMPLES_PER_CPU_S = {1: 300_000, 5: 200_000}
# For a minute, and at this pace no stage may fall behind.
WANTED_SAMPLES_PER_S = 400_000
SUSTAINED_S = 60
_PACE = 1.1 * WANTED_SAMPLES_PER_S
_WANTED_LAG_S = 10.0


def loads(plan: Plan) -> list[Load]:
    """Return the loads sent as fast as they are taken: of the plan's series, and of more."""
    if plan.is_quick:
        return [Load(plan.series, plan.steps, plan.seed, settle_s=QUICK_SETTLE_S)]
    n_samples = SUSTAINED_S * WANTED_SAMPLES_PER_S
    sizes = [plan.series * times for times in WANTED_SAMPLES_PER_CPU_S]
    return [Load(n_series, n_samples // n_series, plan.seed) for n_series in sizes]


def _paced(plan: Plan) -> list[Load]:
    """Return the load at a pace that no stage may fall behind."""
    if plan.is_quick:
        return []
    n_steps = int(SUSTAINED_S * _PACE / plan.series)
    return [Load(plan.series, n_steps, plan.seed, samples_per_s=_PACE)]


def run(plan: Plan) -> Measurement:
    """Send the loads as fast as they are taken, then one at a pace."""
    measured = Measurement()
    for load in [*loads(plan), *_paced(plan)]:
        done = run_load(load, Settings())
        times = None if plan.is_quick else load.series // plan.series
        measured.figures += _figures(done, load, times)
        measured.facts[load.label] = _facts(done, load)
    return measured


def _figures(done: Run, load: Load, times: int | None) -> list[Figure]:
    """Return the figures of a run; times: which of the wanted rates applies, None for none."""
    is_paced = load.samples_per_s < math.inf
    n_samples, seconds = done.n_samples, done.sent.seconds
    name = f"{NAME} {load.label}"
    tables = {table: size / n_samples for table, size in done.tables.items()}
    others = tables["stored_rollups"] + tables["stored_series"]
    return [
        Figure(name, "accepted", "samples/s", [n_samples / seconds],
               at_least=WANTED_SAMPLES_PER_S if is_paced else None),
        Figure(name, "for", "s", [seconds]),
        Figure(name, "largest lag meanwhile", "s", [max(done.lag_s, default=0.0)],
               at_most=_WANTED_LAG_S if is_paced else None),
        Figure(name, "all queryable after", "s", [done.queryable_s - seconds]),
        Figure(name, "all processes", "samples/CPU-s", [done.samples_per_cpu_s],
               at_least=None if is_paced else WANTED_SAMPLES_PER_CPU_S.get(times or 0)),
        *(Figure(name, f"CPU of {process}", "us/sample", [used / n_samples * 1e6])
          for process, used in done.cpu_s.items()),
        Figure(name, "disk, samples", "bytes/sample", [tables["stored_samples"]]),
        Figure(name, "disk, rollups and series", "bytes/sample", [others]),
        Figure(name, "peak memory of all (PSS)", "MB", [done.peak_pss_of_all / MB]),
    ]  # fmt: skip


def _facts(done: Run, load: Load) -> dict[str, object]:
    return {
        "samples": done.n_samples,
        "lossless": True,  # else run_load had raised
        "series": load.series,
        "steps": load.steps,
        "connections": CONNECTIONS,
        "retries": done.sent.n_retries,
        "request_bytes": done.sent.n_bytes,
        "settled_s": round(done.settled_s, 1),
        "lag_s": [round(lag, 2) for lag in done.lag_s],
        "peak_pss_mb": {name: round(size / MB) for name, size in done.peak_pss.items()},
        "peak_rss_mb": {name: round(size / MB) for name, size in done.peak_rss.items()},
        "table_bytes": done.tables,
    }

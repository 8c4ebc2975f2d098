"""The whole pipeline under load: rate, delay, CPU of every process, disk, memory, and no loss."""

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import CONNECTIONS, QUICK_SETTLE_S, Load, Run, run_load
from ops.bench.processes import MB
from topology.settings import Settings

NAME = "end_to_end"
# Of the plan's series, and of five times as many.
WANTED_SAMPLES_PER_CPU_S = {1: 300_000, 5: 200_000}
WANTED_SAMPLES_PER_S = 400_000
# Long enough that the load takes a minute at the rate wanted.
SUSTAINED_S = 60
_WANTED_LAG_S = 10.0


def loads(plan: Plan) -> list[Load]:
    """Return the loads: the plan's series, then five times as many in fewer scrapes."""
    if plan.is_quick:
        return [Load(plan.series, plan.steps, plan.seed, settle_s=QUICK_SETTLE_S)]
    n_samples = SUSTAINED_S * WANTED_SAMPLES_PER_S
    sizes = [plan.series * times for times in WANTED_SAMPLES_PER_CPU_S]
    return [Load(n_series, n_samples // n_series, plan.seed) for n_series in sizes]


def run(plan: Plan) -> Measurement:
    """Send each load as fast as it is taken."""
    measured = Measurement()
    for load in loads(plan):
        done = run_load(load, Settings())
        times = None if plan.is_quick else load.series // plan.series
        measured.figures += _figures(done, load.label, times)
        measured.facts[load.label] = _facts(done, load)
    return measured


def _figures(done: Run, label: str, times: int | None) -> list[Figure]:
    """Return the figures of a run; times: which of the wanted rates applies, None for none."""
    n_samples, seconds = done.n_samples, done.sent.seconds
    name = f"{NAME} {label}"
    tables = {table: size / n_samples for table, size in done.tables.items()}
    others = tables["stored_rollups"] + tables["stored_series"]
    return [
        Figure(name, "accepted", "samples/s", [n_samples / seconds],
               at_least=WANTED_SAMPLES_PER_S if times == 1 else None),
        Figure(name, "for", "s", [seconds]),
        Figure(name, "largest lag meanwhile", "s", [max(done.lag_s, default=0.0)],
               at_most=_WANTED_LAG_S if times == 1 else None),
        Figure(name, "all queryable after", "s", [done.queryable_s - seconds]),
        Figure(name, "all processes", "samples/CPU-s", [done.samples_per_cpu_s],
               at_least=WANTED_SAMPLES_PER_CPU_S.get(times or 0)),
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

"""What a deployment costs while nothing happens: memory and CPU of all its processes."""

import time

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.processes import MB, cpu_seconds, pss_bytes, wait_quiet
from ops.demo.deployment import deployment
from topology.settings import Settings

NAME = "idle"
WANTED_MB, WANTED_PERCENT = 1_000, 5.0
_SETTLE_S = 10.0


def run(plan: Plan) -> Measurement:
    """Start it, let it settle, and watch it for some seconds."""
    with deployment(Settings()) as running:
        pids = running.pids | {"supervisor": running.process.pid}
        wait_quiet(pids, 0.5 if plan.is_quick else _SETTLE_S, deadline_s=20.0)
        before, began_s = cpu_seconds(pids), time.monotonic()
        time.sleep(plan.idle_s)
        seconds, after = time.monotonic() - began_s, cpu_seconds(pids)
        memory = pss_bytes(pids)
        start_seconds = running.start_seconds
    percent = {name: 100 * (after[name] - before[name]) / seconds for name in pids}
    return Measurement(
        [
            Figure(NAME, "memory of all (PSS)", "MB", [sum(memory.values()) / MB],
                   at_most=WANTED_MB),
            *(Figure(NAME, f"memory of {name} (PSS)", "MB", [size / MB])
              for name, size in memory.items()),
            Figure(NAME, "CPU of all", "% of a core", [sum(percent.values())],
                   at_most=WANTED_PERCENT),
            *(Figure(NAME, f"CPU of {name}", "% of a core", [used])
              for name, used in percent.items()),
            Figure(NAME, "start to ready", "s", [start_seconds]),
        ],
        {"watched_s": round(seconds, 1)},
    )  # fmt: skip

"""What a sample of many small tenants costs, against one of a large tenant in equal requests."""

from dataclasses import replace

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import QUICK_SETTLE_S, Load, run_load
from topology.settings import Settings

NAME = "tenants"
WANTED_RATIO = 2.0
_SERIES_EACH, _TENANTS, _STEPS = 100, 1_000, 30
_QUICK_TENANTS, _QUICK_STEPS = 5, 4


def run(plan: Plan) -> Measurement:
    """Send the same series, 100 a request: of one tenant, and of as many tenants as requests.

    Their announcements count in: a pause behind them would close the windows of what comes later.
    """
    tenants = _QUICK_TENANTS if plan.is_quick else _TENANTS
    steps = _QUICK_STEPS if plan.is_quick else _STEPS
    one = Load(tenants * _SERIES_EACH, steps, plan.seed, per_request=_SERIES_EACH)
    if plan.is_quick:
        one = replace(one, settle_s=QUICK_SETTLE_S)
    measured = Measurement()
    costs: list[float] = []
    for load in (one, replace(one, tenants=tenants)):
        done = run_load(load, Settings())
        costs.append(1e6 / done.samples_per_cpu_s)
        label = f"{load.tenants:,} of {load.series // load.tenants:,} series"
        measured.figures.append(Figure(NAME, label, "CPU-us/sample", [costs[-1]]))
        measured.facts[label] = {name: round(used, 2) for name, used in done.cpu_s.items()}
    limit = None if plan.is_quick else WANTED_RATIO
    ratio = costs[1] / costs[0]
    measured.figures.append(Figure(NAME, "many by one", "ratio", [ratio], at_most=limit))
    return measured

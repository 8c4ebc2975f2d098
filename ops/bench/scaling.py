"""What a sample costs at other numbers of series and of partitions, and a series in memory."""

from dataclasses import dataclass

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import QUICK_SETTLE_S, SETTLE_S, Load, Run, run_load
from ops.bench.scrapes import SAMPLES_PER_REQUEST
from topology.settings import Settings

NAME = "scaling"
WANTED_RATIO = 2.0
WANTED_BYTES_PER_SERIES = 1_500
_SAMPLES, _QUICK_SAMPLES = 4_000_000, 4_000
_LARGEST = 1_000_000
# Series are announced and compilers warm up before the measurement.
_WARM_STEPS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One size of the pipeline."""

    series: int
    partitions: int

    def load(self, plan: Plan) -> Load:
        """Return scrapes that make up the measured samples, at least a few.

        Requests are of 2,000 samples, as agents send them: of few series, of several scrapes.
        """
        together = max(SAMPLES_PER_REQUEST // self.series, 1)
        n_samples = _QUICK_SAMPLES if plan.is_quick else _SAMPLES
        n_measured = max(n_samples // (self.series * together), 6) * together
        n_warm = _WARM_STEPS * together
        settle_s = QUICK_SETTLE_S if plan.is_quick else SETTLE_S
        steps = n_warm + n_measured
        return Load(self.series, steps, plan.seed, n_warm, settle_s, together=together)


SERIES = [Case(1_000, 4), Case(10_000, 4), Case(100_000, 4), Case(_LARGEST, 4)]
PARTITIONS = [Case(100_000, 1), Case(100_000, 16), Case(100_000, 32)]
_QUICK = [Case(1_000, 1), Case(1_000, 4)]


def run(plan: Plan) -> Measurement:
    """Run every case; figures per case and the worst of them against the best."""
    cases = _QUICK if plan.is_quick else SERIES + PARTITIONS
    measured = Measurement()
    costs: list[float] = []
    for case in cases:
        done = run_load(case.load(plan), Settings(partitions=case.partitions))
        costs.append(1e6 / done.samples_per_cpu_s)
        label = f"{case.series:,} series, {case.partitions} partitions"
        measured.figures.append(Figure(NAME, label, "CPU-us/sample", [costs[-1]]))
        measured.facts[label] = {name: round(used, 2) for name, used in done.cpu_s.items()}
        if case.series == _LARGEST:
            measured.figures.append(_memory(case, done))
    worst = None if plan.is_quick else WANTED_RATIO
    ratio = max(costs) / min(costs)
    measured.figures.append(Figure(NAME, "worst by best", "ratio", [ratio], at_most=worst))
    return measured


def _memory(case: Case, done: Run) -> Figure:
    """Return the largest memory of all processes beyond the idle footprint, a series."""
    per_series = (done.peak_pss_of_all - done.idle_pss) / case.series
    return Figure(
        NAME,
        f"memory at {case.series:,} series, at its peak",
        "bytes/series",
        [per_series],
        at_most=WANTED_BYTES_PER_SERIES,
    )

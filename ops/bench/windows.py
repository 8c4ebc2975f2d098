"""How fast one core runs the window stage: whole records decoded and folded, windows closed."""

from collections.abc import Iterator

import numpy as np

from ops.bench.figures import Figure, Measurement, Plan, cpu_rates
from ops.bench.scrapes import STEP_MS, Scrapes
from pipeline.windows import PartitionWindows, WindowConfig
from schemas.samples import SKETCHES, SampleBlock, decode_samples, encode_samples

NAME = "windows"
WANTED_SAMPLES_PER_S = {False: 20_000_000, True: 5_000_000}  # without and with sketches
_SAMPLES_PER_RECORD = 10_000
_START_MS = 1_800_000_000_000


def run(plan: Plan) -> Measurement:
    """Measure with few, many and very many series on a partition; each scrape is one step."""
    measured = Measurement(facts={"samples_per_record": _SAMPLES_PER_RECORD})
    for has_sketches in (False, True):
        for n_series in (1_000, 10_000, 100_000):
            n_samples = max(4 * n_series, 100_000 if plan.is_quick else 4_000_000)
            _measure(plan, measured, n_series, n_samples, has_sketches=has_sketches)
    return measured


def _measure(
    plan: Plan, measured: Measurement, n_series: int, n_samples: int, *, has_sketches: bool
) -> None:
    flags = SKETCHES if has_sketches else 0
    records = list(_records(n_series, n_samples // n_series, plan.seed, flags))
    n_rows = _fold(records)[1]
    rates = cpu_rates(lambda: _fold(records)[0], plan.repeats)
    wanted = WANTED_SAMPLES_PER_S[has_sketches] if n_series == 10_000 else None
    name = f"decode and fold{' with sketches' if has_sketches else ''}, {n_series:,} series"
    measured.figures.append(Figure(NAME, name, "samples/s a core", rates, at_least=wanted))
    measured.facts[f"rows_closed_{n_series}"] = n_rows


def _fold(records: list[bytes]) -> tuple[int, int]:
    """Feed a new engine with all records; return samples fed and rows closed."""
    engine = PartitionWindows(WindowConfig())
    n_samples, n_rows = 0, 0
    for record in records:
        blocks = decode_samples(record)
        n_rows += sum(len(closed.rows) for closed in engine.feed(blocks))
        n_samples += sum(map(len, blocks))
    return n_samples, n_rows


def _records(n_series: int, n_steps: int, seed: int, flags: int) -> Iterator[bytes]:
    """Yield scrapes of n_series every 10 s, in order of time, as records of one size."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 1 << 64, n_series, dtype=np.uint64)
    scrapes = Scrapes(n_series, rng)
    # One scrape's values serve for all, moved on by some series each time: no two neighbours in
    # time are equal, which is the worst case of a sketch.
    values = scrapes.next()
    n_samples = n_series * n_steps
    for at in range(0, n_samples, _SAMPLES_PER_RECORD):
        samples = np.arange(at, min(at + _SAMPLES_PER_RECORD, n_samples))
        times_ms = _START_MS + samples // n_series * STEP_MS
        chosen = samples % n_series
        moved = (samples + samples // n_series * 7919) % n_series
        head = ("default", int(times_ms[-1]), 30)
        yield encode_samples([SampleBlock(*head, ids[chosen], times_ms, values[moved], flags)])

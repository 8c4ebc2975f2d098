"""What the anomaly model costs, and how well it finds labelled anomalies.

The corpora's figures come where their folder is given: --corpora FOLDER.
"""

import time
from pathlib import Path

import numpy as np

from ops.bench.anomaly.corpora import load
from ops.bench.anomaly.trials import Trials
from ops.bench.figures import Figure, Measurement, Plan
from pipeline.anomaly.parameters import SHIPPED
from pipeline.anomaly.scorer import Scorer

NAME = "anomaly"
_FEW, _MANY = 10_000, 1_000_000
_MOST_NS = {_FEW: 200.0, _MANY: 300.0}
_MOST_BYTES = 1536
# Long enough that prototypes are full and all parts of the step are at work.
_LEARNED = 160
_MINUTE_S = 60.0
_START_S = 1_767_571_200.0
# What the corpora's figures must not fall below.
_LEAST = {"standard": 70.0, "low_fp": 63.0, "event_f1": 0.50, "delay_f1": 0.56}


def run(plan: Plan) -> Measurement:
    """Time updates of few and of many series; score the corpora if there are any."""
    measured = Measurement()
    for n_series in (1_000, 5_000) if plan.is_quick else (_FEW, _MANY):
        measured.figures.append(_speed(n_series, plan))
    scorer = Scorer()
    scorer.grow(1_000)
    n_bytes = scorer.n_bytes() / len(scorer)
    measured.figures.append(Figure(NAME, "state", "bytes a series", [n_bytes], at_most=_MOST_BYTES))
    if plan.corpora is not None:
        measured.figures += corpora_figures(Path(plan.corpora))
    return measured


def corpora_figures(folder: Path) -> list[Figure]:
    """Return the figures of the shipped constants, each at its best threshold and at 1."""
    trials = Trials(load(folder), seed=1)
    found = []
    for name, (best, _, at_one, _) in trials.exact(SHIPPED).items():
        found.append(Figure(NAME, f"corpora: {name}, best", "", [best], at_least=_LEAST.get(name)))
        found.append(Figure(NAME, f"corpora: {name}, at 1", "", [at_one]))
    return found


def _speed(n_series: int, plan: Plan) -> Figure:
    """Return CPU ns an update, a window of every series in each repeat."""
    rng = np.random.default_rng(plan.seed)
    scorer = Scorer()
    scorer.grow(n_series)
    slots, level = np.arange(n_series), rng.uniform(10, 100, n_series)
    repeats = []
    n_learned = 10 if plan.is_quick else _LEARNED
    for window in range(n_learned + plan.repeats):
        season = 1 + 0.1 * np.sin(2 * np.pi * window / 288)
        values = level * season + rng.standard_normal(n_series, dtype=np.float32)
        times_s = np.full(n_series, _START_S + _MINUTE_S * window)
        began_s = time.process_time()
        scorer.update(slots, times_s, values)
        repeats.append((time.process_time() - began_s) / n_series * 1e9)
    name = f"update, {n_series:,} series"
    return Figure(NAME, name, "ns", repeats[n_learned:], at_most=_MOST_NS.get(n_series))

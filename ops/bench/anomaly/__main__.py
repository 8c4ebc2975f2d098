"""Looks for constants of the anomaly model: python -m ops.bench.anomaly CORPORA [--sets N].

Prints the figures of the shipped set, those of families left out of the choice among random sets,
and the set that all families together would choose. CORPORA holds `nab` and `cloud`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from ops.bench.anomaly.corpora import load
from ops.bench.anomaly.nested import averaged, choose, nested
from ops.bench.anomaly.space import draw
from ops.bench.anomaly.tally import FIGURES
from ops.bench.anomaly.trials import THRESHOLDS, Trials
from pipeline.anomaly.parameters import SHIPPED, Parameters

_TELL_EVERY = 100


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments name."""
    given = _parse(arguments)
    trials = Trials(load(given.corpora), given.seed)
    show(trials, SHIPPED)
    if given.sets:
        search(trials, given)
    return 0


def show(trials: Trials, constants: Parameters) -> None:
    """Print the figures of one set."""
    print(f"{'':12}{'best':>8} {'threshold':>10} {'at 1':>8}")
    exact = trials.exact(constants)
    for name, (best, threshold, at_one, _) in exact.items():
        print(f"{name:12}{best:8.3f} {threshold:10.4f} {at_one:8.3f}")
    print(f"{1000 * exact['standard'][3]:.2f} alarms per 1,000 rows\n")


def search(trials: Trials, given: argparse.Namespace) -> None:
    """Draw sets, choose among them, and print what families left out say of the choice."""
    rng = np.random.default_rng(given.seed)
    centre = SHIPPED if given.around else None
    sets = [draw(rng, centre, given.around or 1.0) for _ in range(given.sets)]
    totals = []
    for at, constants in enumerate(sets):
        totals.append(trials.totals(constants))
        if at % _TELL_EVERY == 0:
            print(f"{at} of {given.sets} sets", file=sys.stderr, flush=True)
    all_totals = np.stack(totals)
    everything = np.ones(len(trials.families), dtype=np.bool_)
    for n_mean in (1, given.mean):
        found = nested(trials, sets, all_totals, n_mean)
        print(f"nested, mean of {n_mean} of {len(sets)}: " + " ".join(FIGURES))
        for title, figures in (("best", found.best()), ("at 1", found.at_one())):
            print(f"  {title} " + " ".join(f"{value:.3f}" for value in figures.values()))
        constants, of = averaged(trials, sets, all_totals, everything, n_mean)
        choice = choose(trials, of[None], everything)
        print(f"  by all families: merit {choice.merit:.4f} at {THRESHOLDS[choice.threshold]:.3f}")
        print(f"  {constants}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench.anomaly", description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--sets", type=int, default=0, help="random sets to draw (default none)")
    parser.add_argument("--around", type=float, help="draw in this share of the ranges only")
    parser.add_argument("--mean", type=int, default=12, help="of so many best sets (default 12)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

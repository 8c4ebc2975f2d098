"""Looks for constants of the anomaly model: python -m ops.bench.anomaly CORPORA [--sets N].

Prints the figures of the shipped set; with --sets those of families of files that had no part in
the choice among N random sets, and the set that all of them choose. CORPORA holds `nab` and
`cloud`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ops.bench.anomaly.copies import PERTURBATIONS
from ops.bench.anomaly.corpora import load
from ops.bench.anomaly.nested import at_threshold_one, mean_of_best, nested
from ops.bench.anomaly.space import draw
from ops.bench.anomaly.tally import FIGURES
from ops.bench.anomaly.trials import Trials
from pipeline.anomaly.parameters import SHIPPED, Parameters

_TELL_EVERY = 100


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments name."""
    given = _parse(arguments)
    trials = Trials(load(given.corpora), given.seed)
    print("the shipped set, all families")
    show(trials, SHIPPED)
    if given.sets:
        search(trials, given.sets, given.mean, given.seed)
    return 0


def show(trials: Trials, constants: Parameters) -> None:
    """Print the figures of one set."""
    exact = trials.exact(constants)
    for name, (best, threshold, at_one, _) in exact.items():
        print(f"  {name:10} best {best:7.3f} at {threshold:.4f}, at 1 {at_one:7.3f}")
    print(f"  {1000 * exact['standard'][3]:.2f} alarms per 1,000 rows")


def search(trials: Trials, n_sets: int, n_mean: int, seed: int) -> None:
    """Draw sets; print what families left out say of the choice, and the choice of all."""
    rng = np.random.default_rng(seed)
    sets = [draw(rng, SHIPPED) for _ in range(n_sets)]
    totals = np.stack([trials.totals(one) for one in _told(sets)])
    found = nested(trials, sets, totals, n_mean)
    for copy, name in enumerate(PERTURBATIONS):
        print(f"nested, mean of {n_mean} of {n_sets} sets; {name}")
        _print("best", found.best(copy))
        _print("at 1", found.at_one(copy))
    everything = np.ones(len(trials.families), dtype=np.bool_)
    constants, _, choice = mean_of_best(trials, sets, totals, everything, n_mean)
    constants = at_threshold_one(constants, choice)
    print("the choice of all families")
    show(trials, constants)
    print(f"  {constants}")


def _told(sets: Sequence[Parameters]) -> Iterator[Parameters]:
    for at, one in enumerate(sets):
        if at % _TELL_EVERY == 0:
            print(f"{at} of {len(sets)} sets", file=sys.stderr, flush=True)
        yield one


def _print(title: str, figures: Mapping[str, float]) -> None:
    print(f"  {title} " + ", ".join(f"{name} {figures[name]:.3f}" for name in FIGURES))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench.anomaly", description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--sets", type=int, default=0, help="random sets to draw (default none)")
    parser.add_argument("--mean", type=int, default=24, help="of so many best sets (default 24)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

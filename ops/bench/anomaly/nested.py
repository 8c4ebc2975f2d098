"""Nested choice: constants and threshold for a family of files chosen without that family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ops.bench.anomaly.space import whole
from ops.bench.anomaly.tally import FIGURES
from ops.bench.anomaly.trials import SHIPPED_AT, STEP, THRESHOLDS, Trials
from pipeline.anomaly.parameters import Parameters

# A threshold is as good as the worst within this share of it.
MARGIN = 0.06
# What a set of constants is chosen by: NAB as shares of 100, equal in weight to the cloud's.
_WEIGHTS = np.array([0.0025, 0.0025, 0.0, 0.25, 0.25])


class Choice(NamedTuple):
    """A set of constants by its index, its threshold by its index, and what it reached."""

    at: int
    threshold: int
    merit: float


@dataclass(frozen=True, slots=True)
class Nested:
    """Figures of families that had no part in the choice; (copies, thresholds, 5).

    choices: one a family. figures: at thresholds relative to the chosen one, which is in the
    middle as THRESHOLDS has it.
    """

    choices: list[Choice]
    figures: NDArray[np.float64]

    def at_one(self, copy: int = 0) -> dict[str, float]:
        """Return the figures at the chosen thresholds."""
        return dict(zip(FIGURES, self.figures[copy, SHIPPED_AT].tolist(), strict=True))

    def best(self, copy: int = 0) -> dict[str, float]:
        """Return the figures, each at the best common factor of the chosen thresholds."""
        return dict(zip(FIGURES, np.nanmax(self.figures[copy], axis=0).tolist(), strict=True))


def merits(
    trials: Trials, totals: NDArray[np.float32], families: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how good sets are at each threshold: the mean over copies, the worst of a margin.

    totals: (sets, copies, families, thresholds, 3). Returns (sets, thresholds).
    """
    merit = (trials.figures(totals, families) @ _WEIGHTS).mean(axis=1)
    reach = round(MARGIN / STEP)
    padded = np.pad(merit, ((0, 0), (reach, reach)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    worst: NDArray[np.float64] = windows.min(axis=2)
    return worst


def choose(trials: Trials, totals: NDArray[np.float32], families: NDArray[np.bool_]) -> Choice:
    """Return the best set and threshold by these families."""
    merit = merits(trials, totals, families)
    at, threshold = np.unravel_index(int(merit.argmax()), merit.shape)
    return Choice(int(at), int(threshold), float(merit[at, threshold]))


def mean_of_best(
    trials: Trials,
    sets: Sequence[Parameters],
    totals: NDArray[np.float32],
    families: NDArray[np.bool_],
    n: int,
) -> tuple[Parameters, NDArray[np.float32], Choice]:
    """Return the geometric mean of the n best sets by these families, its totals and threshold.

    The mean and not the best set: that one owes its place to luck most.
    """
    best = np.argsort(-merits(trials, totals, families).max(axis=1), kind="stable")[:n]
    chosen = np.array([sets[at] for at in best])
    mean = np.exp(np.log(np.maximum(chosen, 1e-12)).mean(axis=0))
    alike = (chosen == chosen[0]).all(axis=0)
    constants = whole(Parameters(*np.where(alike, chosen[0], mean).tolist()))
    of_mean = trials.totals(constants)
    return constants, of_mean, choose(trials, of_mean[None], families)


def nested(
    trials: Trials, sets: Sequence[Parameters], totals: NDArray[np.float32], n: int
) -> Nested:
    """Choose constants and threshold for each family without it."""
    kept = np.full(totals.shape[1:], np.nan, dtype=np.float32)
    choices = []
    for family in range(len(trials.families)):
        others = np.arange(len(trials.families)) != family
        _, of_mean, choice = mean_of_best(trials, sets, totals, others, n)
        choices.append(choice)
        kept[:, family] = _moved(of_mean[:, family], choice.threshold - SHIPPED_AT)
    everything = np.ones(len(trials.families), dtype=np.bool_)
    return Nested(choices, trials.figures(kept, everything))


def at_threshold_one(constants: Parameters, choice: Choice) -> Parameters:
    """Return constants whose threshold 1 is the one chosen."""
    root = float(THRESHOLDS[choice.threshold]) ** 0.5
    return constants._replace(
        level_unit=constants.level_unit * root,
        pair_unit=constants.pair_unit * root,
        fast_cap=constants.fast_cap / root,
        bin_unit=constants.bin_unit * root,
        drift_unit=constants.drift_unit * root,
        slow_cap=constants.slow_cap / root,
    )


def _moved(totals: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Return totals (copies, thresholds, 3) with the threshold `by` in the middle, NaN beyond."""
    moved = np.full_like(totals, np.nan)
    n = totals.shape[1]
    moved[:, max(-by, 0) : min(n - by, n)] = totals[:, max(by, 0) : min(n + by, n)]
    return moved

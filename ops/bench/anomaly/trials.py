"""Runs sets of constants through the production scorer over labelled series and their copies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.bench.anomaly.copies import PERTURBATIONS
from ops.bench.anomaly.corpora import LabelledSeries
from ops.bench.anomaly.tally import FIGURES, Judge, figures_of, judge_of, tally
from pipeline.anomaly.parameters import Parameters
from pipeline.anomaly.scorer import Scorer

# Thresholds in steps of two percent; the one in the middle is the shipped one.
STEP = 0.02
_N_STEPS = 40
# Above and not at a threshold is anomalous.
THRESHOLDS = np.exp(STEP * np.arange(-_N_STEPS, _N_STEPS + 1)) * (1 + 1e-9)
SHIPPED_AT = _N_STEPS


@dataclass(frozen=True, slots=True)
class Copy:
    """All series once: rows of all files, one after another, and how they count."""

    slots: NDArray[np.int64]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    firsts: list[int]
    judges: list[Judge]


class Trials:
    """Labelled series ready for many sets of constants; families: names, in order."""

    def __init__(self, series: Sequence[LabelledSeries], seed: int) -> None:
        self.families = sorted({one.family for one in series})
        self._family = [self.families.index(one.family) for one in series]
        is_nab = np.array([name.startswith("nab/") for name in self.families])
        self.copies = [
            _copy([perturb(one, np.random.default_rng(seed)) for one in series])
            for perturb in PERTURBATIONS.values()
        ]
        # Windows and most reward by copy, family and corpus; a copy may lose a window.
        self._wanted = np.zeros((len(self.copies), len(self.families), 2))
        for wanted, copy in zip(self._wanted, self.copies, strict=True):
            for family, judge in zip(self._family, copy.judges, strict=True):
                wanted[family] += judge.n_windows, judge.most_reward
        self._is_nab = is_nab

    def totals(self, constants: Parameters) -> NDArray[np.float32]:
        """Return what `tally` does, shape (copies, families, thresholds, 3)."""
        return np.stack(
            [self._totals(copy, constants, THRESHOLDS) for copy in self.copies], dtype=np.float32
        )

    def figures(
        self, totals: NDArray[np.float32], families: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return FIGURES over these families, of totals (..., copies, families, thresholds, 3)."""
        nab, cloud = families & self._is_nab, families & ~self._is_nab
        windows, rewards = self._wanted[..., 0], self._wanted[..., 1]
        return figures_of(
            totals[..., nab, :, :].sum(axis=-3, dtype=np.float64),
            windows[:, nab].sum(axis=1)[:, None],
            totals[..., cloud, :, :].sum(axis=-3, dtype=np.float64),
            windows[:, cloud].sum(axis=1)[:, None],
            rewards[:, cloud].sum(axis=1)[:, None],
        )

    def exact(self, constants: Parameters) -> dict[str, tuple[float, float, float, float]]:
        """Return of each figure its best, the threshold of that, the one at 1, and alarms a row."""
        copy = self.copies[0]
        alarms = self.alarms(copy, constants)
        thresholds = np.unique(np.append(alarms[alarms > 0], np.nextafter(np.float32(1), 2)))
        totals = self._totals(copy, constants, thresholds.astype(np.float64))[None]
        figures = self.figures(totals, np.ones(len(self.families), dtype=np.bool_))[0]
        at_one = int(np.searchsorted(thresholds, np.float32(1), side="right"))
        alarmed = float((alarms > 1).mean())
        best = figures.argmax(axis=0)
        return {
            name: (
                float(figures[best[i], i]),
                float(thresholds[best[i]]),
                float(figures[at_one, i]),
                alarmed,
            )
            for i, name in enumerate(FIGURES)
        }

    def alarms(self, copy: Copy, constants: Parameters) -> NDArray[np.float32]:
        """Return the alarm of each row."""
        scorer = Scorer(constants=constants)
        scorer.grow(len(copy.judges))
        return scorer.update(copy.slots, copy.times_s, copy.values).alarm

    def _totals(
        self, copy: Copy, constants: Parameters, thresholds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        alarms = self.alarms(copy, constants)
        totals = np.zeros((len(self.families), len(thresholds), 3))
        for family, first, judge in zip(self._family, copy.firsts, copy.judges, strict=True):
            of_file = alarms[first : first + len(judge.worth)]
            totals[family] += tally(of_file, judge.worth, judge.window, judge.n_windows, thresholds)
        return totals.astype(np.float32)


def _copy(series: Sequence[LabelledSeries]) -> Copy:
    lengths = [len(one.values) for one in series]
    return Copy(
        np.repeat(np.arange(len(series)), lengths),
        np.concatenate([one.times_s for one in series]),
        np.concatenate([one.values for one in series]),
        np.concatenate([[0], np.cumsum(lengths)])[:-1].tolist(),
        [judge_of(one) for one in series],
    )

"""What is grouped: anomalous windows of one tenant, and what their series have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

# A label and its value, or the metric under the name __name__.
Trait = tuple[str, str]

QUIET_S = 1800


@dataclass(frozen=True, slots=True)
class AnomalousWindows:
    """Windows with a score above 1, in order of time, shape (n,) each.

    starts_s, ends_s: int64, s since 1970. series: int64, index into the traits.
    """

    starts_s: NDArray[np.int64]
    ends_s: NDArray[np.int64]
    series: NDArray[np.int64]
    scores: NDArray[np.float32]
    alarms: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.series)

    def runs(self) -> NDArray[np.int64]:
        """Return for each window the first one of its run, shape (n,), as an index.

        A run is a series' windows with less than QUIET_S from one's end to the next one's start.
        """
        order = np.argsort(self.series, kind="stable")
        ends_s, series = self.ends_s[order], self.series[order]
        begins = np.ones(len(order), dtype=np.bool_)
        begins[1:] = series[1:] != series[:-1]
        begins[1:] |= self.starts_s[order][1:] - ends_s[:-1] >= QUIET_S
        first_of = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        runs = np.empty(len(order), dtype=np.int64)
        runs[order] = order[first_of]
        return runs


@dataclass(frozen=True, slots=True)
class Traits:
    """Traits of n series: those of series i are of[bounds[i]:bounds[i + 1]], indices of names."""

    names: list[Trait] = field(default_factory=list)
    bounds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def build(cls, labels: Sequence[Mapping[str, str]]) -> Self:
        """Return the traits of series of these labels, their metric among them."""
        numbers: dict[Trait, int] = {}
        of = [numbers.setdefault(pair, len(numbers)) for one in labels for pair in one.items()]
        bounds = np.cumsum([0, *map(len, labels)])
        return cls(list(numbers), bounds, np.array(of, dtype=np.int64))

    def of_series(self, series: int) -> list[int]:
        """Return a series' traits."""
        found: list[int] = self.of[self.bounds[series] : self.bounds[series + 1]].tolist()
        return found

    def count(self, series: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of the series, shape (n,), have each trait."""
        lengths = np.diff(self.bounds)[series]
        first = np.repeat(self.bounds[series] - np.cumsum(lengths) + lengths, lengths)
        at = first + np.arange(int(lengths.sum()))
        return np.bincount(self.of[at], minlength=len(self.names))

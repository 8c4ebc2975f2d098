"""Onsets of the last minutes that are in no event yet, counted by what their series share."""

from collections import Counter, deque
from collections.abc import Iterator
from itertools import compress
from operator import not_

from pipeline.anomaly.grouping.windows import AnomalousWindows, Traits


class Pool:
    """Onsets, as indices of their windows, in order of time."""

    def __init__(self, windows: AnomalousWindows, traits: Traits) -> None:
        self._windows = windows
        self._traits = traits
        self._onsets: deque[int] = deque()
        self._shared: Counter[int] = Counter()

    def add(self, onset: int) -> None:
        """Add an onset, no earlier than those that are there."""
        self._onsets.append(onset)
        self._shared.update(self._traits_of(onset))

    def forget(self, until_s: int) -> None:
        """Drop the onsets of windows that end at this time or before."""
        while self._onsets and self._windows.ends_s[self._onsets[0]] <= until_s:
            self._subtract(self._onsets.popleft())

    def take(self, trait: int) -> list[int]:
        """Remove and return the onsets of series that have a trait."""
        has_trait = [trait in self._traits_of(onset) for onset in self._onsets]
        taken = list(compress(self._onsets, has_trait))
        self._onsets = deque(compress(self._onsets, map(not_, has_trait)))
        for onset in taken:
            self._subtract(onset)
        return taken

    def shared_by(self, least: int) -> Iterator[tuple[int, int]]:
        """Yield the traits that so many onsets or more share, each with their number."""
        for trait, n in self._shared.items():
            if n >= least:
                yield trait, n

    def _traits_of(self, onset: int) -> list[int]:
        return self._traits.of_series(int(self._windows.series[onset]))

    def _subtract(self, onset: int) -> None:
        self._shared.subtract(self._traits_of(onset))

"""Events as they are told: when, how bad, of how many series, and what these have in common."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.grouping.fold import Event, Fold, Policy
from pipeline.anomaly.grouping.windows import AnomalousWindows, Trait, Traits

# Later windows of an event's series are not looked at for its end.
END_AFTER_S = 21_600
# An event has ended when so many of its series have: single ones may stay anomalous for long.
_SHARE_ENDED = 0.9


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An event. series: indices, those of the highest score first; common: traits of all of them.

    id: the same whenever the event is computed, as long as it begins with the same series.
    """

    id: int
    start_s: int
    end_s: int
    detected_s: int
    peak: float
    series: list[int]
    common: list[Trait]


def group(  # noqa: PLR0913, PLR0917 - windows and what is known of their series
    windows: AnomalousWindows,
    traits: Traits,
    series_ids: NDArray[np.uint64],
    since_s: int,
    span_s: tuple[int, int],
    begin_s: int,
    policy: Policy | None = None,
) -> list[Anomaly]:
    """Return the events that begin in [span_s), from a pass that begins at begin_s.

    windows: from a day before begin_s to END_AFTER_S after the span. series_ids: of each series.
    since_s: when there were scores for the first time.
    """
    policy = policy or Policy()
    fold = Fold(windows, traits, since_s, policy)
    until_s = span_s[1] + policy.longest_s + policy.within_s
    events = fold.run(begin_s, until_s)
    told = _Telling(windows, traits, series_ids, fold.runs)
    return [told.tell(event) for event in events if span_s[0] <= event.start_s < span_s[1]]


class _Telling:
    def __init__(
        self,
        windows: AnomalousWindows,
        traits: Traits,
        series_ids: NDArray[np.uint64],
        runs: NDArray[np.int64],
    ) -> None:
        self._windows = windows
        self._traits = traits
        self._series_ids = series_ids
        self._order = np.argsort(runs, kind="stable")
        self._runs = runs[self._order]

    def tell(self, event: Event) -> Anomaly:
        """Return an event with its end and peak."""
        windows = self._windows
        until_s = event.start_s + END_AFTER_S
        peaks: dict[int, float] = {}
        ends_s = []
        for onset, rows in zip(event.onsets, self._rows_of(event.onsets), strict=True):
            inside = rows[windows.ends_s[rows] <= until_s]
            series = int(windows.series[onset])
            peak = float(windows.scores[inside].max(initial=0))
            peaks[series] = max(peaks.get(series, 0.0), peak)
            ends_s.append(int(windows.ends_s[inside].max(initial=windows.ends_s[onset])))
        ends_s.sort()
        ids = self._series_ids
        ranked = sorted(peaks, key=lambda one: (-peaks[one], ids[one]))
        return Anomaly(
            self._id_of(event),
            event.start_s,
            ends_s[int(_SHARE_ENDED * (len(ends_s) - 1))],
            event.detected_s,
            max(peaks.values()),
            ranked,
            self._common(ranked),
        )

    def _rows_of(self, onsets: Sequence[int]) -> Iterator[NDArray[np.int64]]:
        """Yield the windows of each onset's run."""
        firsts = np.searchsorted(self._runs, onsets, "left")
        ends = np.searchsorted(self._runs, onsets, "right")
        for first, end in zip(firsts, ends, strict=True):
            yield self._order[first:end]

    def _id_of(self, event: Event) -> int:
        starts_s = self._windows.starts_s
        firsts = [onset for onset in event.onsets if starts_s[onset] == event.start_s]
        first = min(int(self._series_ids[self._windows.series[onset]]) for onset in firsts)
        text = f"{event.start_s}/{first}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

    def _common(self, series: Sequence[int]) -> list[Trait]:
        shared = set(self._traits.of_series(series[0]))
        for one in series[1:]:
            shared.intersection_update(self._traits.of_series(one))
        return sorted(self._traits.names[trait] for trait in shared)

"""Folds anomalous windows, minute by minute in event time, into events.

An onset is the first window of a series' run of anomalous ones. Where the onsets of the last
minutes that share a trait (a host, a metric, a zone) are more than chance explains, given how often
such series have become anomalous in the day before, they are an event: the trait that explains most
is taken first. A single series is an event if its alarm is among the highest of the day; scores of
most alarms end at one height, so a few as high are, too.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.grouping.pool import Pool
from pipeline.anomaly.grouping.surprise import DAY_S, HOUR_S, LEAST_ALIKE, Usual, log10_tail
from pipeline.anomaly.grouping.windows import AnomalousWindows, Traits


@dataclass(frozen=True, slots=True)
class Policy:
    """When onsets are an event.

    within_s: how long ago they may be. least_series: that share a trait. chance_a_day: how many
    events a day chance alone may make. clumps: series of a host do not become anomalous one by
    one, so of many hosts some have several: the surprise that is needed grows with this power of
    the number of hosts, or of what other label has most values (measured on simulated fleets).
    quiet_s: an event that has got no more series for so long takes none up. longest_s: nor does it
    after so long; but one that seems to begin anew within it goes on: what returns to normal is
    anomalous, too. rank, ties: a single series' alarm is an event if in fewer than `rank` hours of
    the day before there was a higher one, and in fewer than `ties` one as high; of this hour each
    minute counts in which a series had one that is in no event. known_s: for how
    long there must have been scores.
    """

    within_s: int = 600
    least_series: int = 3
    chance_a_day: float = 0.1
    clumps: float = 4.0
    quiet_s: int = 900
    longest_s: int = 7200
    rank: int = 2
    ties: int = 4
    known_s: int = 3600


@dataclass(slots=True)
class Event:
    """Series that became anomalous together.

    onsets: of its series, as indices of windows. trait: what they have in common, None for a
    single series. fresh_s: when it last got more series than such series give anyway. recent_s:
    times of its last onsets.
    """

    trait: int | None
    start_s: int
    detected_s: int
    fresh_s: int
    onsets: list[int] = field(default_factory=list)
    series: set[int] = field(default_factory=set)
    recent_s: deque[int] = field(default_factory=deque)


class Fold:
    """One pass over windows, which all must be there: also those of the day before."""

    def __init__(
        self, windows: AnomalousWindows, traits: Traits, since_s: int, policy: Policy | None = None
    ) -> None:
        """Prepare a pass. since_s: when there were scores for the first time."""
        self._windows = windows
        self._traits = traits
        self._since_s = since_s
        self._policy = policy or Policy()
        self.runs = windows.runs()
        self._is_onset = self.runs == np.arange(len(windows))
        self._onsets = np.flatnonzero(self._is_onset)
        self._pool = Pool(windows, traits)
        self._events: list[Event] = []
        self._event_of: dict[int, Event] = {}

    def run(self, from_s: int, until_s: int) -> list[Event]:
        """Return the events of windows that end in [from_s, until_s), in order of detection."""
        ends_s = self._windows.ends_s
        first, end = np.searchsorted(ends_s, [from_s, until_s])
        times, begins = np.unique(ends_s[first:end], return_index=True)
        bounds = [*(first + begins).tolist(), int(end)]
        hour_s = -1
        for at, time_s in enumerate(times.tolist()):
            if time_s // HOUR_S * HOUR_S != hour_s:
                hour_s = time_s // HOUR_S * HOUR_S
                self._begin_hour(hour_s)
            self._step(time_s, range(bounds[at], bounds[at + 1]))
        return self._events

    def _begin_hour(self, hour_s: int) -> None:
        onsets_s = self._windows.ends_s[self._onsets]
        series = self._windows.series[self._onsets]
        self._usual = Usual.before(hour_s, onsets_s, series, self._traits, self._since_s)
        n_tests = LEAST_ALIKE * DAY_S / self._policy.within_s
        more = self._policy.clumps * math.log10(max(self._usual.n_alike / LEAST_ALIKE, 1))
        self._least_surprise = math.log10(n_tests / self._policy.chance_a_day) + more
        self._highest = self._highest_alarms(hour_s)

    def _highest_alarms(self, hour_s: int) -> NDArray[np.float64]:
        """Return the highest alarm of each hour of the day before, shape (24,), 0 for none."""
        ends_s, alarms = self._windows.ends_s, self._windows.alarms
        first, end = np.searchsorted(ends_s, [hour_s - DAY_S, hour_s])
        highest = np.zeros(DAY_S // HOUR_S)
        hours = (ends_s[first:end] - (hour_s - DAY_S)) // HOUR_S
        np.maximum.at(highest, hours, alarms[first:end])
        return highest

    def _is_among_highest(self, alarm: float) -> bool:
        n_higher = int((self._highest > alarm).sum())
        n_as_high = int((self._highest >= alarm).sum())
        return n_higher < self._policy.rank and n_as_high < self._policy.ties

    def _step(self, time_s: int, rows: range) -> None:
        self._pool.forget(time_s - self._policy.within_s)
        onsets = [at for at in rows if self._is_onset[at]]
        for at in onsets:
            if (event := self._open_event(at, time_s)) is not None:
                self._take(event, [at], time_s)
            else:
                self._pool.add(at)
        is_known = time_s - self._since_s >= self._policy.known_s
        while onsets and is_known and self._open_group(time_s):
            pass
        self._take_alarms(rows, time_s, is_known=is_known)

    def _open_event(self, onset: int, time_s: int) -> Event | None:
        """Return the newest event that takes the onset up, if any."""
        traits = self._traits.of_series(int(self._windows.series[onset]))
        for event in reversed(self._events):
            if time_s - event.start_s > self._policy.longest_s:
                return None
            if event.trait in traits and time_s - event.fresh_s <= self._policy.quiet_s:
                return event
        return None

    def _take(self, event: Event, onsets: Iterable[int], time_s: int) -> None:
        """Add onsets to an event, which stays fresh where they are more than chance gives."""
        assert event.trait is not None
        for onset in onsets:
            event.onsets.append(onset)
            event.series.add(int(self._windows.series[onset]))
            event.recent_s.append(int(self._windows.ends_s[onset]))
            self._event_of[onset] = event
        while event.recent_s[0] <= time_s - self._policy.within_s:
            event.recent_s.popleft()
        n = len(event.recent_s)
        mean = self._usual.mean(event.trait, self._policy.within_s)
        if n >= mean + 3 * math.sqrt(mean):
            event.fresh_s = time_s

    def _open_group(self, time_s: int) -> bool:
        """Make the most surprising trait of the pool's onsets an event; False if none is."""
        within_s, names = self._policy.within_s, self._traits.names
        candidates = [
            (log10_tail(n, self._usual.mean(trait, within_s)), -n, names[trait], trait)
            for trait, n in self._pool.shared_by(self._policy.least_series)
        ]
        if not candidates or -min(candidates)[0] < self._least_surprise:
            return False
        trait = min(candidates)[-1]
        onsets = self._pool.take(trait)
        series = {int(self._windows.series[onset]) for onset in onsets}
        event = self._earlier(trait, series, time_s)
        if event is None:
            start_s = int(min(self._windows.starts_s[onset] for onset in onsets))
            event = Event(trait, start_s, time_s, time_s)
            self._absorb(event, onsets)
            self._events.append(event)
        self._take(event, onsets, time_s)
        event.fresh_s = time_s
        return True

    def _earlier(self, trait: int, series: set[int], time_s: int) -> Event | None:
        """Return the event that a group continues: of the same trait, or of half of its series."""
        for event in reversed(self._events):
            if time_s - event.start_s > self._policy.longest_s:
                return None
            if event.trait is None:
                continue
            if event.trait == trait or 2 * len(event.series & series) >= len(series):
                return event
        return None

    def _absorb(self, group: Event, onsets: list[int]) -> None:
        """Let the group stand for the events that single ones of its series had begun."""
        single = [one for onset in onsets if (one := self._event_of.get(onset)) is not None]
        for event in single:
            group.start_s = min(group.start_s, event.start_s)
            group.detected_s = min(group.detected_s, event.detected_s)
            self._events.remove(event)

    def _take_alarms(self, rows: range, time_s: int, *, is_known: bool) -> None:
        """Make alarms events that are among the highest, where their series is in none.

        Each counts as an alarm of this hour, and where there is none, the minute's highest does.
        """
        highest, taken = 0.0, []
        for at in rows:
            alarm = float(self._windows.alarms[at])
            if alarm <= 1 or int(self.runs[at]) in self._event_of:
                continue
            highest = max(highest, alarm)
            if is_known and self._is_among_highest(alarm):
                self._begin_event(at, time_s)
                self._highest = np.append(self._highest, alarm)
                taken.append(at)
        if highest and not taken:
            self._highest = np.append(self._highest, highest)

    def _begin_event(self, at: int, time_s: int) -> None:
        """Make a single series' alarm an event."""
        onset, series = int(self.runs[at]), int(self._windows.series[at])
        start_s = int(self._windows.starts_s[onset])
        event = Event(None, start_s, time_s, time_s, [onset], {series})
        self._event_of[onset] = event
        self._events.append(event)

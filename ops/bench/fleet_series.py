"""A simulated fleet: hosts whose series look like those of the recorded machine, with incidents.

Each series has the level, the noise and the memory that a recorded series had, and what a recording
of an hour cannot have: a season of days and weeks, what its host has in common, rare spikes of its
own. One value is one closed minute, as the score stage judges it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.demo.recording import Recording, read_recording
from pipeline.scoring.values import Value, usual_value
from schemas.series import METRIC_LABEL, MetricType

MINUTE_S = 60
DAY_MINUTES = 1440
# A Monday.
START_S = 1_799_625_600 // 604_800 * 604_800 + 4 * 86_400
HOSTS_OF_A_ZONE = 100
_LEAST_MINUTES = 40
_ROLES = ("web", "db", "queue", "batch")


@dataclass(frozen=True, slots=True)
class Template:
    """What was recorded of one series by the minute: metric, mean, noise and its memory."""

    labels: dict[str, str]
    level: float
    noise: float
    memory: float


@dataclass(frozen=True, slots=True)
class Incident:
    """What is done to some series from one minute to another; times: what values are moved by.

    key: the label that its series have in common.
    """

    key: tuple[str, str]
    first_minute: int
    n_minutes: int
    series: NDArray[np.int64]
    times_noise: NDArray[np.float64]

    def holds(self, minute: int) -> bool:
        """Whether it lasts at a minute."""
        return self.first_minute <= minute < self.first_minute + self.n_minutes


def templates() -> list[Template]:
    """Return the recorded series of which there are enough minutes, their incidents included."""
    recording = read_recording()
    found = [_template(recording, number) for number in range(len(recording.labels))]
    return [one for one in found if one is not None]


def _template(recording: Recording, number: int) -> Template | None:
    labels = recording.labels[number]
    value = usual_value(labels[METRIC_LABEL], MetricType.UNKNOWN)
    mine = recording.series == number
    minutes = recording.times_ms[mine] // 60_000
    bounds = np.flatnonzero(np.diff(minutes)) + 1
    parts = np.split(recording.values[mine], bounds)
    if len(parts) < _LEAST_MINUTES or value == Value.NONE:
        return None
    if value == Value.RATE:
        by_minute = np.diff([part[-1] for part in parts]) / MINUTE_S
    else:
        by_minute = np.array([part.mean() for part in parts])
    # Differences: what drifts over the hour is season, not noise.
    steps = np.diff(by_minute)
    noise = float(np.median(np.abs(steps))) / 0.954
    variance = float(steps.var())
    memory = (
        float(np.clip(1 + (steps[1:] * steps[:-1]).mean() / variance, 0, 0.95)) if variance else 0
    )
    return Template(labels, float(np.abs(by_minute).mean()), noise, memory)


class Fleet:
    """Series of hosts, laid out host after host; values come minute by minute."""

    def __init__(
        self, n_series: int, rng: np.random.Generator, *, has_seasons: bool = True
    ) -> None:
        self.templates = templates()
        self._rng = rng
        n = len(self.templates)
        self.n_hosts = -(-n_series // n)
        self.n_series = self.n_hosts * n
        self.host = np.repeat(np.arange(self.n_hosts), n)
        self.metric = np.tile(np.arange(n), self.n_hosts)
        size = rng.lognormal(0, 0.7, self.n_series)
        self._level = np.array([one.level for one in self.templates])[self.metric] * size
        self.noise = np.array([one.noise for one in self.templates])[self.metric] * size
        self._memory = np.array([one.memory for one in self.templates])[self.metric]
        swing = rng.choice([0.0, 0.1, 0.3, 0.6], n, p=[0.4, 0.2, 0.2, 0.2])
        self._swing = has_seasons * swing[self.metric] * rng.uniform(0.7, 1.3, self.n_series)
        self._is_still = (self._level == 0) | (self.noise == 0)
        self._shared = rng.uniform(0, 0.6, n)[self.metric]
        self._peak_hour = rng.normal(14, 1.5, self.n_hosts)[self.host]
        self._is_spiky = rng.random(self.n_series) < 0.2
        self._state = rng.standard_normal(self.n_series)
        self._host_state = rng.standard_normal(self.n_hosts)

    def labels(self, series: int) -> dict[str, str]:
        """Return a series' labels."""
        host = int(self.host[series])
        mine = self.templates[int(self.metric[series])].labels
        own = {name: text for name, text in mine.items() if name not in {"instance", "job"}}
        return own | {
            "instance": f"host-{host}",
            "job": _ROLES[host % len(_ROLES)],
            "zone": f"zone-{host // HOSTS_OF_A_ZONE}",
        }

    def minutes(self, n_minutes: int, incidents: list[Incident]) -> Iterator[NDArray[np.float64]]:
        """Yield the values of each minute, in the order of the series."""
        rng = self._rng
        for minute in range(n_minutes):
            fresh = rng.standard_normal(self.n_series)
            weight = np.sqrt(1 - self._memory**2)
            self._state = self._memory * self._state + weight * fresh
            host = 0.9 * self._host_state + np.sqrt(1 - 0.81) * rng.standard_normal(self.n_hosts)
            self._host_state = host
            noise = (1 - self._shared) * self._state + self._shared * host[self.host]
            n_spikes = rng.poisson(self.n_series * 0.2 / (2 * DAY_MINUTES))
            spiking = rng.integers(0, self.n_series, n_spikes)
            noise[spiking] += self._is_spiky[spiking] * rng.uniform(4, 12, n_spikes)
            for one in incidents:
                if one.holds(minute):
                    noise[one.series] += one.times_noise
            level = self._level * (1 + self._swing * self._season(minute))
            values = np.maximum(level + self.noise * noise, 0)
            yield np.where(self._is_still, self._level, values)

    def _season(self, minute: int) -> NDArray[np.float64]:
        hour = minute / 60 % 24
        day = np.cos((hour - self._peak_hour) * np.pi / 12)
        is_weekend = minute // DAY_MINUTES % 7 >= 5
        return day * (0.5 if is_weekend else 1.0)

    def incidents(self, n_minutes: int, n_a_day: float, first_day: float) -> list[Incident]:
        """Return incidents of all kinds, from a day on: of a host, a metric, a zone's metric."""
        rng = self._rng
        first = int(first_day * DAY_MINUTES)
        n = max(1, round(n_a_day * (n_minutes - first) / DAY_MINUTES))
        starts = np.sort(rng.integers(first, max(n_minutes - 120, first + 1), n))
        return [self.incident(at, int(start)) for at, start in enumerate(starts)]

    def incident(self, at: int, start: int) -> Incident:
        """Return an incident that begins at a minute, of one of three kinds in turn."""
        rng = self._rng
        moves = np.flatnonzero(~self._is_still)
        match at % 3:
            case 0:
                host = int(rng.integers(self.n_hosts))
                key = ("instance", f"host-{host}")
                mine = moves[self.host[moves] == host]
                series = mine[rng.random(len(mine)) < 0.5]
            case 1:
                metric = int(rng.choice(self.metric[moves]))
                key = (METRIC_LABEL, self.templates[metric].labels[METRIC_LABEL])
                mine = moves[self.metric[moves] == metric]
                series = mine[rng.random(len(mine)) < 0.2]
            case _:
                zone = int(rng.integers(-(-self.n_hosts // HOSTS_OF_A_ZONE)))
                key = ("zone", f"zone-{zone}")
                mine = moves[self.host[moves] // HOSTS_OF_A_ZONE == zone]
                network = [
                    at
                    for at, one in enumerate(self.templates)
                    if "network" in one.labels[METRIC_LABEL]
                ]
                series = mine[np.isin(self.metric[mine], network)]
        size = rng.uniform(8, 25, len(series)) * rng.choice([-1.0, 1.0], len(series), p=[0.2, 0.8])
        return Incident(key, start, int(rng.integers(15, 90)), series, size)

"""The anomaly model once more, in plain Python and doubles: slow, and written to be read."""

import math
from dataclasses import dataclass, field

from pipeline.anomaly.parameters import N_BINS, N_PAIRS, SHIPPED, Parameters

HOUR_S = 3600.0


@dataclass
class Cell:
    """The mean of an hour of the day."""

    visits: int = 0
    mean: float = 0.0

    def learn(
        self, value: float, seen: float, share: float, *, is_visit: bool, rate: float
    ) -> None:
        self.visits += is_visit
        if is_visit and self.visits == 1:
            self.mean = value
        weight = min(self.visits - 1 + seen, 1 / rate)
        self.mean += min(share / weight, 1) * (value - self.mean)


@dataclass
class Prototype:
    """Something seen, and when: born and used count windows or bins."""

    at: list[float]
    born: int
    used: int

    def distance(self, other: list[float]) -> float:
        return sum(abs(a - b) for a, b in zip(self.at, other, strict=True))

    def move(self, to: list[float], rate: float) -> None:
        self.at = [a + rate * (b - a) for a, b in zip(self.at, to, strict=True)]


def hour_and_weekend(time_s: float) -> tuple[int, bool]:
    """Return the hour of the day in UTC, and whether it is of a Saturday or Sunday."""
    hours = math.floor(time_s / HOUR_S)
    return hours % 24, (hours // 24 + 3) % 7 >= 5


@dataclass
class Reference:
    """One series."""

    c: Parameters = SHIPPED
    n: int = 0
    level: float = 0.0
    spread: float = 0.0
    season_spread: float = 0.0
    fall_spread: float = 0.0
    fall_season_spread: float = 0.0
    high: float = 0.0
    low: float = 0.0
    drift: float = 0.0
    drift_square: float = 0.0
    last: float = 0.0
    time_s: float = 0.0
    origin: float = 0.0
    step_s: float = 300.0
    peak: float = 0.0
    alarm_s: float = -math.inf
    alarm_far: float = 0.0
    run: int = 0
    longest_run: int = 0
    bin: list[float] = field(default_factory=list)
    bin_value: float = 0.0
    bin_before: float = 0.0
    n_bins: int = 0
    pairs: list[Prototype] = field(default_factory=list)
    bins: list[Prototype] = field(default_factory=list)
    day: list[Cell] = field(default_factory=lambda: [Cell() for _ in range(24)])
    kind: list[Cell] = field(default_factory=lambda: [Cell() for _ in range(48)])

    def update(self, time_s: float, value: float) -> tuple[float, float, float]:
        """Return score, alarm and expected value of a window, then learn it."""
        c = self.c
        if self.n == 0:
            self.origin = value
        seen = value - self.origin
        x = self._within_reach(seen)
        gap_s = self._note_step(time_s)
        tiny = 1e-9 * abs(self.level + self.origin) + 1e-12
        width = self.high - self.low + tiny
        hour, is_weekend = hour_and_weekend(time_s)
        kind = self.kind[hour + 24 * is_weekend]
        day = self.day[hour].mean if self.day[hour].visits >= c.visits else self.level

        away, away_season = x - self.level, x - day
        falls = self._fall(x, self.level), self._fall(x, day)
        far = self._far(away, away_season, falls, tiny)
        fast_parts = (far if self.n > 1 else 0.0, self._pair(x, width) if self.n > 0 else 0.0)
        beyond = seen - x
        escalation = self._escalation(self._far(away + beyond, away_season + beyond, falls, tiny))
        expected = day if abs(away_season) < abs(away) else self.level
        self.level += max(1 / (self.n + 1), 1 / c.level_windows) * away
        slow_parts = (
            self._bin(x, width),
            self._drift(x - (kind.mean if kind.visits >= c.visits else day), gap_s, tiny),
        )
        fast = self._fast(*fast_parts, is_back=(x - self.last) * away < 0)
        fast += escalation if fast > 1 else 0.0
        score = max(fast, self._slow(*slow_parts)) * (self.n >= c.warm)
        stopped = self._has_stopped(x) and score < 1.05
        score = 1.05 if stopped else score
        alarm = max(self._alarm(time_s, score, abs(seen - expected)), 1.05 * stopped)
        self._learn(x, away, away_season, falls)
        self._learn_season(x, time_s, hour, kind)
        self.last, self.time_s, self.n = x, time_s, self.n + 1
        return score, alarm, expected + self.origin

    def _fast(self, far: float, new_pair: float, *, is_back: bool) -> float:
        c = self.c
        factor: float = max(1, self.step_s / 300) ** c.coarse * min(new_pair / c.gate, 1)
        squares = (
            min(far / c.level_unit, c.fast_cap) ** 2 + min(new_pair / c.pair_unit, c.fast_cap) ** 2
        )
        return squares * factor * (c.fall if is_back else 1)

    def _slow(self, new_bin: float, drift: float) -> float:
        c = self.c
        of_bin = min(new_bin / c.bin_unit, c.slow_cap)
        of_drift = min(drift / c.drift_unit, c.slow_cap)
        return of_bin**2 + of_drift**2

    def _drift(self, away: float, gap_s: float, tiny: float) -> float:
        if self.n == 0:
            return 0.0
        usual_s = min(gap_s, 2 * self.step_s)
        self.drift *= 1 - min(1, gap_s / self.c.smooth_s)
        self.drift += away * min(1, usual_s / self.c.smooth_s)
        return abs(self.drift) / (math.sqrt(self.drift_square) + tiny) if self.n > 1 else 0.0

    def _has_stopped(self, x: float) -> bool:
        if self.n == 0 or x != self.last:
            self.longest_run, self.run = max(self.longest_run, self.run), 0
            return False
        self.run += 1
        needed = int(max(self.c.stop_factor * (self.longest_run + 1), self.c.stop_least))
        return self.n - self.run >= self.c.warm and self.run == needed

    def _fall(self, x: float, base: float) -> float:
        usual = base + self.origin
        if usual <= 0 or self.low + self.origin < -1e-6 * abs(self.origin):
            return 0.0
        value = max(x + self.origin, 0)
        return (usual - value) / (usual + value)

    def _far(
        self, away: float, away_season: float, falls: tuple[float, float], tiny: float
    ) -> float:
        difference = min(
            abs(away) / (self.spread + tiny), abs(away_season) / (self.season_spread + tiny)
        )
        spreads = self.fall_spread + 1e-9, self.fall_season_spread + 1e-9
        return max(difference, min(falls[0] / spreads[0], falls[1] / spreads[1]))

    def _escalation(self, far: float) -> float:
        beyond = far / (8 * self.c.level_unit * self.c.fast_cap)
        return 0.2 * math.log2(beyond) if beyond > 1 else 0.0

    def _within_reach(self, x: float) -> float:
        if self.n < self.c.settled or self.high == self.low:
            return min(max(x, -1e30), 1e30)
        reach = self.c.reach * (self.high - self.low)
        return min(max(x, self.low - reach), self.high + reach)

    def _note_step(self, time_s: float) -> float:
        if self.n == 0:
            return 300.0
        gap_s = max(time_s - self.time_s, 1.0)
        if self.n == 1:
            self.step_s = gap_s
        else:
            self.step_s = min(max(gap_s, self.step_s / 1.02), self.step_s * 1.02)
        return gap_s

    def _pair(self, x: float, width: float) -> float:
        c, pair = self.c, [x, self.last]
        distances = [one.distance(pair) for one in self.pairs]
        old = min(
            (d for d, p in zip(distances, self.pairs, strict=True) if self.n - p.born > c.young),
            default=0.0,
        )
        near = min(distances, default=math.inf)
        if near > 2 * width * c.radius:
            _replace(self.pairs, Prototype(pair, self.n, self.n), N_PAIRS)
        else:
            nearest = self.pairs[distances.index(near)]
            nearest.move(pair, c.learning)
            nearest.used = self.n
        return old / (2 * width)

    def _bin(self, x: float, width: float) -> float:
        c = self.c
        if not self.bin or abs(x - self.level) > 1.00001 * abs(self.bin_value - self.level):
            self.bin_value = x
        self.bin.append(x)
        if len(self.bin) < c.bin_windows:
            return 0.0
        shape = [self.bin_value, self.bin_before, max(self.bin) - min(self.bin)]
        self.bin = []
        self.n_bins += 1
        near = 0.0
        if self.n_bins > 1:
            distances = [one.distance(shape) for one in self.bins]
            near = min(distances, default=math.inf)
            if near > 2 * width * c.radius:
                _replace(self.bins, Prototype(shape, self.n_bins, self.n_bins), N_BINS)
            else:
                nearest = self.bins[distances.index(near)]
                nearest.move(shape, c.learning)
                nearest.used = self.n_bins
        self.bin_before = self.bin_value
        return near / (2 * width) if near < math.inf else 0.0

    def _alarm(self, time_s: float, score: float, distance: float) -> float:
        if abs(time_s - self.alarm_s) > self.c.refractory_s:
            self.peak = 0.0
        least = self.peak * (self.c.escalation if self.peak > 1 else 1.0000001)
        is_farther = score > 1 and distance > self.c.farther * self.alarm_far
        if score <= least and not is_farther:
            return 0.0
        self.peak, self.alarm_far, self.alarm_s = max(score, self.peak), distance, time_s
        return score

    def _learn(self, x: float, away: float, away_season: float, falls: tuple[float, float]) -> None:
        c, n = self.c, self.n
        self.high = max(x, self.high + c.leak * (self.level - self.high))
        self.low = min(x, self.low + c.leak * (self.level - self.low))
        rate = max(1 / max(n, 1), 1 / c.level_windows)
        self.spread += rate * (abs(away) - self.spread)
        if n > 0:
            self.season_spread += rate * (abs(away_season) - self.season_spread)
            self.fall_spread += rate * (abs(falls[0]) - self.fall_spread)
            self.fall_season_spread += rate * (abs(falls[1]) - self.fall_season_spread)
            self.drift_square += max(1 / n, 1 / c.drift_windows) * (
                self.drift**2 - self.drift_square
            )

    def _learn_season(self, x: float, time_s: float, hour: int, kind: Cell) -> None:
        c, n = self.c, self.n
        share = min(self.step_s / HOUR_S, 1.0)
        seen = min(time_s / HOUR_S - math.floor(time_s / HOUR_S) + share, 1.0)
        is_visit = n == 0 or math.floor(time_s / HOUR_S) != math.floor(self.time_s / HOUR_S)
        for cell in (self.day[hour], kind):
            cell.learn(x, seen, share, is_visit=is_visit, rate=c.hour_rate)


def _replace(known: list[Prototype], new: Prototype, most: int) -> None:
    """Add one; where there is no room, in place of the one that was not used for longest."""
    if len(known) < most:
        known.append(new)
        return
    longest = min(range(len(known)), key=lambda at: known[at].used)
    known[longest] = new

"""What a client sends, request by request: steps of all series, and all that senders do amiss."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.samples import STALE_MARKER_BITS

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
STALE = STALE_MARKER_BITS.view(np.float64)
# Eighths, so that sums are exact in whatever order they are added up.
_EIGHTH = 0.125
_RESET, _STALE = 0.002, 0.002
_LONGEST_SILENCE = 60
# Steps after which the last series has begun; half of them begin at once.
_ALL_BEGUN = 300
JUMPED_AS_JSON = "jumped, sent as JSON"
_REMEMBERED = 200
_UNSURE_KEYS = 100_000
_KEY_BITS = 42


class Request(NamedTuple):
    """One request. series: int32 (n,), numbers of the client's series. times_ms: int64 (n,).

    values: float64 (n,), the stale marker among them. is_refused: bool (n,), samples that are
    too far in the future.
    """

    kind: str
    series: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    is_refused: NDArray[np.bool_]

    def only(self, wanted: NDArray[np.bool_]) -> "Request":
        """Return the request with the samples wanted."""
        return Request(
            self.kind,
            self.series[wanted],
            self.times_ms[wanted],
            self.values[wanted],
            self.is_refused[wanted],
        )

    def kept(self) -> "Request":
        """Return the request without what is refused."""
        return self.only(~self.is_refused) if self.is_refused.any() else self


def keys_of(series: NDArray[np.int32], times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number for each pair of series and time, in the order of both."""
    return (series.astype(np.int64) << _KEY_BITS) + times_ms


def split_keys(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return series and times of keys_of."""
    return (keys >> _KEY_BITS).astype(np.int32), keys & ((1 << _KEY_BITS) - 1)


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a source sends.

    begin_ms: event time of its first step. pause_s: between two requests. is_live: steps wait
    for the time of day less delay_ms, where others go on as fast as they are taken.
    odd: share of requests that are late, repeated or out of order.
    """

    n_series: int
    step_ms: int
    begin_ms: int
    pause_s: float
    is_live: bool = False
    delay_ms: int = 0
    odd: float = 0.2


@dataclass(frozen=True, slots=True)
class Jump:
    """A wrong clock for so many steps: ahead_ms is added to the time of each."""

    ahead_ms: int
    n_steps: int


class Source:
    """Draws the requests of one client from a seeded generator.

    Samples that are refused take part in nothing. A key is given another value only where no
    earlier attempt to write it can still be under way: else nobody knows which arrives last.
    """

    def __init__(self, pattern: Pattern, rng: np.random.Generator) -> None:
        self.pattern = pattern
        self._rng = rng
        self._step = 0
        self._n_odd = 0
        self._jump = Jump(0, 0)
        self._counters = np.zeros(pattern.n_series)
        n = pattern.n_series
        self._silent_until = rng.integers(0, _ALL_BEGUN, n) * (rng.random(n) < 0.5)
        self._sure: deque[Request] = deque(maxlen=_REMEMBERED)
        self._unsure = np.zeros(0, dtype=np.int64)

    def jump(self, jump: Jump) -> None:
        """Let the clock be wrong from the next step on."""
        self._jump = jump

    @property
    def jumps_left(self) -> int:
        """How many steps the clock will still be wrong for."""
        return self._jump.n_steps

    def next(self, now_ms: int) -> Request | None:
        """Return the next request, None while it is not due."""
        pattern = self.pattern
        time_ms = pattern.begin_ms + self._step * pattern.step_ms
        if time_ms > now_ms - pattern.delay_ms:
            return None
        if self._jump.n_steps:
            return self._without_unsure(self._jumped(time_ms))
        if self._step and self._rng.random() < pattern.odd:
            return self._without_unsure(self._odd(time_ms - pattern.step_ms))
        self._step += 1
        return self._regular(time_ms)

    def acknowledged(self, request: Request, n_attempts: int) -> None:
        """Take note that a request was taken at its n-th attempt."""
        kept = request.kept()
        if n_attempts == 1:
            self._sure.append(kept)
            return
        self._sure.clear()
        keys = keys_of(kept.series, kept.times_ms)
        self._unsure = np.concatenate([self._unsure, keys])[-_UNSURE_KEYS:]

    def _without_unsure(self, request: Request) -> Request:
        return request.only(~np.isin(keys_of(request.series, request.times_ms), self._unsure))

    def _regular(self, time_ms: int) -> Request:
        rng, n = self._rng, self.pattern.n_series
        talks = self._silent_until <= self._step
        values = self._values()
        ends = talks & (rng.random(n) < _STALE)
        values[ends] = STALE
        n_ends = int(ends.sum())
        self._silent_until[ends] = self._step + rng.integers(2, _LONGEST_SILENCE, n_ends)
        series = np.flatnonzero(talks).astype(np.int32)
        return _request("step", series, np.full(len(series), time_ms), values[series])

    def _values(self) -> NDArray[np.float64]:
        """Return a value of each series: the first half counts, with resets, the rest varies."""
        rng, n = self._rng, self.pattern.n_series
        self._counters += rng.integers(0, 400, n) * _EIGHTH
        self._counters[rng.random(n) < _RESET] = 0.0
        gauges = rng.integers(-4000, 4000, n) * _EIGHTH
        return np.where(np.arange(n) < n // 2, self._counters, gauges)

    def _odd(self, time_ms: int) -> Request:
        kinds: list[Callable[[int], Request]] = [self._late, self._disordered, self._twins]
        if self._sure:
            kinds += [self._repeated, self._corrected]
        return kinds[self._rng.integers(len(kinds))](time_ms)

    def _some(self) -> NDArray[np.int32]:
        n = self.pattern.n_series
        chosen = np.flatnonzero(self._rng.random(n) < self._rng.uniform(0.02, 0.3))
        return (chosen if len(chosen) else np.arange(1)).astype(np.int32)

    def _between_ms(self) -> int:
        """Return a time between two steps, another one each time."""
        self._n_odd += 1
        return 1 + self._n_odd % (self.pattern.step_ms - 1)

    def _late(self, time_ms: int) -> Request:
        """Return samples of the last ten minutes, between steps."""
        n_back = int(self._rng.integers(1, 10 * MINUTE_MS // self.pattern.step_ms))
        series = self._some()
        at_ms = time_ms - n_back * self.pattern.step_ms + self._between_ms()
        return _request("late", series, np.full(len(series), at_ms), self._values()[series])

    def _disordered(self, time_ms: int) -> Request:
        """Return three samples a series in any order."""
        series = np.repeat(self._some(), 3)
        at_ms = time_ms - self.pattern.step_ms + np.arange(3) * self.pattern.step_ms // 3
        times = self._rng.permuted(np.tile(at_ms + 1, len(series) // 3).reshape(-1, 3), axis=1)
        times += self._between_ms() % (self.pattern.step_ms // 3 - 1)
        return _request("disordered", series, times.ravel(), self._values()[series])

    def _twins(self, time_ms: int) -> Request:
        """Return two samples of one time and series: the second counts."""
        once = self._some()
        series = np.concatenate([once, once])
        values = np.concatenate([self._values()[once], self._values()[once]])
        at_ms = time_ms - self.pattern.step_ms + self._between_ms()
        return _request("twins", series, np.full(len(series), at_ms), values)

    def _repeated(self, _: int) -> Request:
        return self._chosen()._replace(kind="repeated")

    def _corrected(self, _: int) -> Request:
        """Return samples sent before, with other values or as stale markers."""
        before = self._chosen()
        picked = np.flatnonzero(self._rng.random(len(before.series)) < 0.3)
        series, times = before.series[picked], before.times_ms[picked]
        values = self._values()[series]
        values[self._rng.random(len(values)) < 0.05] = STALE
        return _request("corrected", series, times, values)

    def _chosen(self) -> Request:
        return self._sure[self._rng.integers(len(self._sure))]

    def _jumped(self, time_ms: int) -> Request:
        """Return a step of the wrong clock; each third series has a clock of its own."""
        n_steps = self._jump.n_steps - 1
        self._jump = replace(self._jump, n_steps=n_steps)
        self._step += 1
        series = np.arange(self.pattern.n_series, dtype=np.int32)
        is_wrong = series % 3 != 0
        times = time_ms + np.where(is_wrong, self._jump.ahead_ms + self._between_ms(), 0)
        is_refused = is_wrong & (self.pattern.is_live and self._jump.ahead_ms >= HOUR_MS)
        kind = JUMPED_AS_JSON if n_steps % 2 else "jumped"
        return Request(kind, series, times, self._values(), is_refused)


def _request(
    kind: str,
    series: NDArray[np.int32],
    times_ms: NDArray[np.int64],
    values: NDArray[np.float64],
) -> Request:
    return Request(kind, series, times_ms, values, np.zeros(len(series), dtype=np.bool_))

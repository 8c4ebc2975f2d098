"""Whether all that was sent is stored, and the rollups are those of the stored samples."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.query import Service

WIDTH_MS = 60_000
# Sums are added up in another order on each side.
_SUM_TOLERANCE = 1e-9
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: what should be there, what was found."""

    name: str
    expected: float
    found: float
    tolerance: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the claim holds."""
        return math.isclose(self.expected, self.found, rel_tol=self.tolerance, abs_tol=0.0)

    def __str__(self) -> str:
        if self.ok:
            return f"{self.name}: {self.found:,.15g}"
        difference = self.found - self.expected
        return f"{self.name}: {self.expected!r} expected, {self.found!r} found ({difference:+.15g})"


def closed_until_ms(newest_ms: int, lateness_s: int) -> int:
    """Return the end of the newest window that a sample of newest_ms has closed."""
    return (newest_ms - lateness_s * 1000) // WIDTH_MS * WIDTH_MS


def wait_for(found: Callable[[], float], expected: float, deadline_s: float) -> float | None:
    """Wait until found() is at least as expected; return the seconds, None at the deadline."""
    began_s = time.monotonic()
    while found() < expected:
        if time.monotonic() - began_s > deadline_s:
            return None
        time.sleep(_POLL_S)
    return time.monotonic() - began_s


def n_samples(store: Service) -> int:
    """Return how many samples can be queried."""
    return int(store.table("SELECT count() FROM samples").rows[0][0])


def n_rollups(store: Service, before_ms: int) -> int:
    """Return how many windows that begin before a time can be queried."""
    return int(store.table(f"SELECT count() FROM rollups WHERE {_rolled_up(before_ms)}").rows[0][0])  # noqa: S608 - numbers only


def n_sample_windows(store: Service, from_ms: int, before_ms: int) -> int:
    """Return how many windows of how many series hold samples of [from_ms, before_ms)."""
    time_ms = "toUnixTimestamp64Milli(time)"
    statement = (
        "SELECT uniqExact(series_id, toStartOfMinute(time)) FROM samples "  # noqa: S608 - numbers only
        f"WHERE {time_ms} >= {from_ms} AND {time_ms} < {before_ms}"
    )
    return int(store.table(statement).rows[0][0])


def check_all(store: Service, n_sent: int, before_ms: int) -> list[Check]:
    """Compare what was sent with what is stored, and rollups with samples up to a time."""
    samples = store.table(
        "SELECT uniqExact(series_id, toStartOfMinute(time)), count(), sum(value), min(value), "  # noqa: S608 - numbers only
        f"max(value) FROM samples WHERE toUnixTimestamp64Milli(time) < {before_ms}"
    ).rows[0]
    rollups = store.table(
        "SELECT count(), sum(count), sum(sum), min(min), max(max) FROM rollups "  # noqa: S608 - numbers only
        f"WHERE {_rolled_up(before_ms)}"
    ).rows[0]
    checks = [Check("samples stored", n_sent, n_samples(store))]
    names = ("windows", "samples in them", "sum", "least value", "largest value")
    for name, expected, found in zip(names, samples, rollups, strict=True):
        tolerance = _SUM_TOLERANCE if name == "sum" else 0.0
        checks.append(Check(f"rolled up: {name}", float(expected), float(found), tolerance))
    return [*checks, Check("windows unlike their samples", 0, _n_unlike(store, before_ms))]


def _n_unlike(store: Service, before_ms: int) -> int:
    """Count windows whose rollup differs from the same aggregate over its samples."""
    statement = f"""
        SELECT countIf(
            kept.n != rolled.n OR kept.least != rolled.least OR kept.largest != rolled.largest
            OR abs(kept.total - rolled.total) > {_SUM_TOLERANCE} * abs(kept.total))
        FROM (
            SELECT series_id, toUnixTimestamp(toStartOfMinute(time)) AS start, count() AS n,
                sum(value) AS total, min(value) AS least, max(value) AS largest
            FROM samples WHERE toUnixTimestamp64Milli(time) < {before_ms}
            GROUP BY series_id, start
        ) AS kept
        FULL JOIN (
            SELECT series_id, toUnixTimestamp(window_start) AS start, count AS n,
                sum AS total, min AS least, max AS largest
            FROM rollups WHERE {_rolled_up(before_ms)}
        ) AS rolled ON kept.series_id = rolled.series_id AND kept.start = rolled.start
    """  # noqa: S608 - numbers only
    return int(store.table(statement).rows[0][0])


def _rolled_up(before_ms: int) -> str:
    width_s = WIDTH_MS // 1000
    return f"width_s = {width_s} AND toUnixTimestamp(window_start) < {before_ms // 1000}"

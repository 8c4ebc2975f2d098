"""How many events a day a simulated fleet gives, which incidents are found, and how soon.

python -m ops.bench.fleet [--series N] [--days N] [--seed N] is the same with another size.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.fleet_series import DAY_MINUTES, MINUTE_S, START_S, Fleet, Incident
from pipeline.anomaly.grouping.events import Anomaly, group
from pipeline.anomaly.grouping.windows import AnomalousWindows, Traits
from pipeline.anomaly.rules import Rule
from pipeline.scoring.models import Models, Room

NAME = "fleet"
# The store's: see topology.store.anomalies.
_SLOT_S = 21_600
# What is said of a fleet begins after its first days: models know no weekend before.
_INCIDENTS_A_DAY = 3.0
_MOST_FALSE_A_DAY = 5.0
_LEAST_RECALL = 0.8
# An event may be told until so long after its incident: what returns to normal is anomalous, too.
_AFTER_S = 900


@dataclass(frozen=True, slots=True)
class Simulated:
    """A fleet's anomalous windows; series: of the fleet, for each index that the windows have."""

    fleet: Fleet
    incidents: list[Incident]
    windows: AnomalousWindows
    series: NDArray[np.int64]
    n_minutes: int
    scoring_s: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Events after the first days, and which incident each is of, None for none."""

    events: list[Anomaly]
    incident_of: list[int | None]
    n_days: float


def simulate(n_series: int, days: float, seed: int) -> Simulated:
    """Score every minute of a fleet."""
    fleet = Fleet(n_series, np.random.default_rng(seed))
    n_minutes = int(days * DAY_MINUTES)
    incidents = fleet.incidents(n_minutes, _INCIDENTS_A_DAY, quiet_days(days))
    return score(fleet, incidents, n_minutes)


def score(fleet: Fleet, incidents: list[Incident], n_minutes: int) -> Simulated:
    """Score so many minutes of a fleet in which there are incidents."""
    models = Models([Rule()], Room(1 << 30))
    while len(models) < fleet.n_series:
        models.add_shard()
    slots = np.arange(fleet.n_series)
    parts: list[tuple[NDArray[np.generic], ...]] = []
    scoring_s = 0.0
    for minute, values in enumerate(fleet.minutes(n_minutes, incidents)):
        start_s = START_S + minute * MINUTE_S
        began_s = time.process_time()
        scores = models.update(slots, np.full(len(slots), float(start_s)), values)
        scoring_s += time.process_time() - began_s
        hit = np.flatnonzero(scores.score > 1)
        parts.append((np.full(len(hit), start_s), hit, scores.score[hit], scores.alarm[hit]))
    starts_s, hits, score, alarm = (np.concatenate(column) for column in zip(*parts, strict=True))
    series, index = np.unique(hits, return_inverse=True)
    windows = AnomalousWindows(starts_s, starts_s + MINUTE_S, index, score, alarm)
    return Simulated(fleet, incidents, windows, series, n_minutes, scoring_s)


def quiet_days(days: float) -> float:
    """Return for how many days nothing is judged: a third, at most two."""
    return min(days / 3, 2.0)


def events_of(simulated: Simulated) -> list[Anomaly]:
    """Group as the store does, six hours at a time."""
    windows = simulated.windows
    traits = Traits.build([simulated.fleet.labels(int(one)) for one in simulated.series])
    ids = simulated.series.astype(np.uint64)
    # Before it nothing has a score yet.
    since_s = int(windows.starts_s[0]) if len(windows) else START_S
    end_s = START_S + simulated.n_minutes * MINUTE_S
    found: list[Anomaly] = []
    for slot_s in range(START_S // _SLOT_S * _SLOT_S, end_s, _SLOT_S):
        span_s = (slot_s, slot_s + _SLOT_S)
        found += group(windows, traits, ids, since_s, span_s, slot_s - _SLOT_S)
    return found


def judge(simulated: Simulated, events: Sequence[Anomaly]) -> Judged:
    """Hold events against the incidents: half of an event's series must be of its incident."""
    first_s = START_S + int(quiet_days(simulated.n_minutes / DAY_MINUTES) * 86_400)
    later = [one for one in events if one.start_s >= first_s]
    incident_of = [_incident_of(simulated, one) for one in later]
    end_s = START_S + simulated.n_minutes * MINUTE_S
    return Judged(later, incident_of, (end_s - first_s) / 86_400)


def _incident_of(simulated: Simulated, event: Anomaly) -> int | None:
    series = set(simulated.series[event.series].tolist())
    for at, incident in enumerate(simulated.incidents):
        first_s = START_S + incident.first_minute * MINUTE_S
        last_s = first_s + incident.n_minutes * MINUTE_S + _AFTER_S
        is_then = event.detected_s > first_s and event.start_s < last_s
        if is_then and 2 * len(series & set(incident.series.tolist())) >= len(series):
            return at
    return None


def figures(simulated: Simulated, judged: Judged) -> list[Figure]:
    """Return events a day, precision, recall and times to detect."""
    bench = f"{NAME} {simulated.fleet.n_series:,} series, {judged.n_days:.1f} days"
    found: dict[int, float] = {}
    n_false = sum(of is None for of in judged.incident_of)
    for event, at in zip(judged.events, judged.incident_of, strict=True):
        if at is not None:
            begin_s = START_S + simulated.incidents[at].first_minute * MINUTE_S
            after_min = (event.detected_s - begin_s) / 60
            found[at] = min(found.get(at, after_min), after_min)
    n_events = max(len(judged.events), 1)
    recall = len(found) / max(len(simulated.incidents), 1)
    times_min = list(found.values()) or [0.0]
    n_updates = simulated.fleet.n_series * simulated.n_minutes
    return [
        Figure(bench, "events", "a day", [len(judged.events) / judged.n_days]),
        Figure(bench, "events of no incident", "a day", [n_false / judged.n_days],
               at_most=_MOST_FALSE_A_DAY),
        Figure(bench, "precision", "", [1 - n_false / n_events]),
        Figure(bench, "incidents found (recall)", "", [recall], at_least=_LEAST_RECALL),
        Figure(bench, "time to detect, median", "min", [float(np.median(times_min))]),
        Figure(bench, "time to detect, longest", "min", [max(times_min)]),
        Figure(bench, "scoring", "ns a window", [simulated.scoring_s / n_updates * 1e9]),
    ]  # fmt: skip


def run(plan: Plan) -> Measurement:
    """Simulate a fleet of a tenth of the plan's series."""
    simulated = simulate(max(plan.series // 10, 1_000), 1.5 if plan.is_quick else 4.0, plan.seed)
    return measure(simulated)


def measure(simulated: Simulated) -> Measurement:
    """Group and judge what was simulated."""
    judged = judge(simulated, events_of(simulated))
    facts: dict[str, object] = {
        "incidents": [
            {"key": "=".join(one.key), "minute": one.first_minute, "series": len(one.series)}
            for one in simulated.incidents
        ],
        "anomalous_windows": len(simulated.windows),
    }
    return Measurement(figures=figures(simulated, judged), facts=facts)


def main() -> None:
    """Run one fleet and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for figure in measure(simulate(given.series, given.days, given.seed)).figures:
        print(f"{figure.name:28} {figure.value:10.3f} {figure.unit}")


if __name__ == "__main__":
    main()

"""A large simulated fleet in a short form: scorer and grouping as they run live."""

import numpy as np

from ops.bench.fleet import events_of, judge, score
from ops.bench.fleet_series import MINUTE_S, START_S, Fleet

# After the 150 minutes that a model learns, and an hour of scores without events.
FIRST_MINUTE, APART = 215, 15


def test_of_100_000_series_incidents_are_found_and_a_handful_of_events_besides() -> None:
    """An incident of a host, of a metric, of a zone's network: each is found within a minute.

    The first hours of a fleet have most events: nothing is known of the day yet. So it has no
    seasons here; with these, and over seven days, `python -m ops.bench.fleet` counts.
    """
    fleet = Fleet(100_000, np.random.default_rng(1), has_seasons=False)
    incidents = [fleet.incident(kind, FIRST_MINUTE + APART * kind) for kind in range(3)]

    simulated = score(fleet, incidents, FIRST_MINUTE + APART * 3)
    judged = judge(simulated, events_of(simulated))

    detected_s: dict[int, int] = {}
    for event, at in zip(judged.events, judged.incident_of, strict=True):
        if at is not None:
            begin_s = START_S + incidents[at].first_minute * MINUTE_S
            detected_s.setdefault(at, event.detected_s - begin_s)
    assert fleet.n_series >= 100_000
    assert detected_s == {0: MINUTE_S, 1: MINUTE_S, 2: MINUTE_S}
    assert judged.incident_of.count(None) <= 4

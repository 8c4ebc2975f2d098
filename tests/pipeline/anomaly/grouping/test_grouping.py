"""Grouping anomalous windows into events: small cases by hand, drawn as timelines."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.anomaly.grouping.events import END_AFTER_S, Anomaly, group
from pipeline.anomaly.grouping.fold import Policy
from pipeline.anomaly.grouping.surprise import DAY_S, log10_tail
from pipeline.anomaly.grouping.windows import AnomalousWindows, Traits

MINUTE_S = 60
# A full day after the first scores.
T0 = 1_800_000_000 // 21_600 * 21_600
SINCE_S = T0 - DAY_S

# (series, minute, score), and the alarm where there is one.
Row = tuple[int, int, float] | tuple[int, int, float, float]


def fleet(n_hosts: int, n_metrics: int) -> list[dict[str, str]]:
    """Labels of series 0, 1, 2 ...: host after host."""
    return [
        {"__name__": f"m{metric}", "host": f"h{host}", "env": "prod"}
        for host in range(n_hosts)
        for metric in range(n_metrics)
    ]


def windows_of(rows: Sequence[Row]) -> AnomalousWindows:
    rows = sorted(rows, key=lambda row: (row[1], row[0]))
    starts_s = np.array([T0 + row[1] * MINUTE_S for row in rows], dtype=np.int64)
    return AnomalousWindows(
        starts_s,
        starts_s + MINUTE_S,
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float32),
        np.array([row[3] if len(row) > 3 else 0 for row in rows], dtype=np.float32),
    )


def events_of(
    rows: Sequence[Row],
    labels: Sequence[Mapping[str, str]],
    policy: Policy | None = None,
    since_s: int = SINCE_S,
) -> list[Anomaly]:
    ids = np.arange(len(labels), dtype=np.uint64) + 100
    span_s = (T0, T0 + 21_600)
    found = group(windows_of(rows), Traits.build(labels), ids, since_s, span_s, T0 - 21_600, policy)
    return sorted(found, key=lambda one: (one.start_s, one.series))


def minute(time_s: int) -> float:
    return (time_s - T0) / MINUTE_S


def test_series_of_one_host_are_one_event() -> None:
    """Host 3 of 20; its series one after the other within three minutes."""
    rows = [(3 * 10 + at, 5 + at // 3, 1.2 + at / 10) for at in range(8)]

    (event,) = events_of(rows, fleet(20, 10))

    assert event.common == [("env", "prod"), ("host", "h3")]
    assert event.series == [37, 36, 35, 34, 33, 32, 31, 30]
    assert event.peak == pytest.approx(1.9)
    assert (minute(event.start_s), minute(event.end_s)) == (5, 8)
    # At the end of the minute in which there were enough.
    assert minute(event.detected_s) == 6


def test_a_metric_over_many_hosts_is_one_event() -> None:
    rows = [(host * 10 + 7, 5, 1.5) for host in range(0, 20, 2)]

    (event,) = events_of(rows, fleet(20, 10))

    assert event.common == [("__name__", "m7"), ("env", "prod")]
    assert len(event.series) == 10


def test_two_hosts_at_one_time_are_two_events() -> None:
    """In a fleet where now and then some series is anomalous: ten of all in ten minutes."""
    noise = [(minute * 7 % 200, minute, 1.1) for minute in range(-1440, 0)]
    rows = [(host * 10 + at, 5, 1.5) for host in (3, 11) for at in range(8)]

    one, other = events_of([*noise, *rows], fleet(20, 10))

    assert one.common == [("env", "prod"), ("host", "h3")]
    assert other.common == [("env", "prod"), ("host", "h11")]


def test_all_hosts_at_one_time_are_one_event() -> None:
    """What explains most is taken, not what is most specific."""
    rows = [(at, 5, 1.5) for at in range(200)]

    (event,) = events_of(rows, fleet(20, 10))

    assert event.common == [("env", "prod")]
    assert len(event.series) == 200


def test_unlike_series_at_one_time_are_none() -> None:
    """Host 0, 2, 4 ... metric 0, 1, 2 ...: what chance does in a fleet of this size."""
    labels = [one | {"env": f"e{at}"} for at, one in enumerate(fleet(20, 10))]
    rows = [(20 * at + at, 5, 1.5) for at in range(8)]

    assert events_of(rows, labels) == []


def test_what_happens_often_is_no_event() -> None:
    """Host 3 has had as many onsets in each ten minutes of the day before."""
    before = [
        (30 + at, at_minute, 1.5) for at in range(8) for at_minute in range(-1440 + at % 3, 0, 40)
    ]
    rows = [(30 + at, 5 + at // 3, 1.5) for at in range(3)]

    assert [minute(one.start_s) for one in events_of([*before, *rows], fleet(20, 10))] == []
    assert len(events_of(rows, fleet(20, 10))) == 1


def test_of_many_hosts_more_is_asked() -> None:
    """Series of a host are not independent: where 300 hosts had onsets, three are not enough."""
    labels = fleet(300, 10)
    before = [(host * 10 + host % 10, host * 4 - 1_440, 1.5) for host in range(300)]
    rows = [(30 + at, 5, 1.5) for at in range(6)]

    assert events_of([*before, *rows[:3]], labels) == []
    assert len(events_of([*before, *rows[:3]], labels, Policy(clumps=1.0))) == 1
    assert len(events_of([*before, *rows], labels)) == 1


def test_many_labels_are_not_many_hosts() -> None:
    """Two hosts of 12 metrics, of which each has a device and a mode: four series are enough."""
    labels = [
        {"__name__": f"m{metric}", "host": f"h{host}", "device": f"d{metric}", "mode": f"o{metric}"}
        for host in range(2)
        for metric in range(12)
    ]
    before = [(series, 50 * series - 1_400, 1.5) for series in range(24)]
    rows = [(at, 5, 1.5) for at in range(4)]

    (event,) = events_of([*before, *rows], labels)

    assert event.common == [("host", "h0")]
    assert events_of([*before, *rows[:3]], labels) == []


def test_many_metrics_are_not_many_hosts() -> None:
    """Each of 150 metrics has had onsets; of two hosts, eight series are more than chance."""
    before = [(series, 4 * series - 1_400, 1.5) for series in range(300)]
    rows = [(150 + 7 * at, 5, 1.5) for at in range(8)]

    (event,) = events_of([*before, *rows], fleet(2, 150))

    assert event.common == [("env", "prod"), ("host", "h1")]
    assert len(event.series) == 8


def test_what_all_three_hosts_have_is_an_event() -> None:
    """One metric in one minute: no alarm is among the day's highest, nor is there a fourth host."""
    before = [(series, 3 * series - 1_400, 1.5, 1.48) for series in range(450)]
    rows = [(150 * host + 7, 5, 1.5, 1.48) for host in range(3)]

    (event,) = events_of([*before, *rows], fleet(3, 150))

    assert event.common == [("__name__", "m7"), ("env", "prod")]
    assert len(event.series) == 3


def test_late_members_join_while_the_event_is_fresh() -> None:
    """Minutes        0    5    10   15   20 ... 60
    event            ######
    joins                      #  (8 min later)
    too late                              # (after 15 quiet minutes)
    """
    first = [(30 + at, 1, 1.5) for at in range(6)]
    late = [(36, 9, 1.2), (37, 60, 1.2)]

    (event,) = events_of([*first, *late], fleet(20, 10))

    assert event.series == [30, 31, 32, 33, 34, 35, 36]


def test_the_return_to_normal_is_the_same_event() -> None:
    """Forty minutes later the same series are anomalous once more."""
    rows = [(30 + at, 1 + again, 1.5) for at in range(6) for again in (0, 45)]

    (event,) = events_of(rows, fleet(20, 10))

    assert (minute(event.start_s), minute(event.end_s)) == (1, 47)
    assert len(event.series) == 6


def test_an_event_ends_with_nine_of_ten_of_its_series() -> None:
    rows: list[Row] = [(30 + at, 1 + step, 1.5) for at in range(10) for step in range(5)]
    rows += [(30, step, 1.1) for step in range(6, 90)]

    (event,) = events_of(rows, fleet(20, 10))

    assert minute(event.end_s) == 6


def test_a_single_series_is_an_event_if_its_alarm_is_among_the_days_highest() -> None:
    """Two alarms of other hours are above 2: so 2.1 is one, 2.4 is not above the second."""
    quiet = [(200, -600, 2.5, 2.5), (150, -300, 2.2, 2.2), (120, -100, 1.1, 1.1)]

    assert events_of([*quiet, (7, 5, 2.1, 2.1)], fleet(30, 10)) == []
    (event,) = events_of([*quiet, (7, 5, 2.4, 2.4)], fleet(30, 10))

    assert event.series == [7]
    assert event.peak == pytest.approx(2.4)
    assert ("__name__", "m7") in event.common
    assert (minute(event.start_s), minute(event.detected_s)) == (5, 6)


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        ([-1200, -600, -200, 60, 120], [60]),
        ([-600, -200, 60, 120, 180], [60, 120]),
        # An hour counts once when it is over, so that an incident is not as many as it has series.
        ([5, 10, 15, 20, 25, 60, 120], [5, 10, 15, 20, 60, 120]),
    ],
)
def test_of_alarms_of_equal_height_four_a_day_are_events(
    minutes: list[int], told: list[int]
) -> None:
    """Scores of most alarms end at one height, so the third one is no less than the first two."""
    rows: list[Row] = [(10 * at + at % 10, when, 1.5, 1.5) for at, when in enumerate(minutes)]

    assert [minute(one.start_s) for one in events_of(rows, fleet(30, 10))] == told


def test_a_group_does_not_use_up_the_alarms_of_the_hour() -> None:
    """Six series of a host within six minutes; then another one elsewhere, as high."""
    rows: list[Row] = [(30 + at, 5 + step, 1.5, 1.5) for at in range(6) for step in range(6)]

    labels = fleet(20, 10)
    labels[7] = {"__name__": "other"}

    together, lone = events_of([*rows, (7, 20, 1.5, 1.5)], labels)

    assert (len(together.series), lone.series) == (6, [7])


def test_a_series_that_a_group_has_is_no_event_of_its_own() -> None:
    """Also where it was first: then the group began with it, and was found with it."""
    rows: list[Row] = [(30, 2, 2.0, 2.0), *((31 + at, 5, 1.5, 1.5) for at in range(6))]

    (event,) = events_of(rows, fleet(20, 10))

    assert len(event.series) == 7
    assert (minute(event.start_s), minute(event.detected_s)) == (2, 3)


def test_a_score_without_an_alarm_is_no_event_of_its_own() -> None:
    assert events_of([(7, 5, 2.4)], fleet(20, 10)) == []


def test_the_first_hour_of_scores_has_no_events() -> None:
    rows = [(30 + at, 5, 1.5) for at in range(8)]

    assert events_of(rows, fleet(20, 10), since_s=T0 - 1800) == []
    assert len(events_of(rows, fleet(20, 10), since_s=T0 - 3600)) == 1


def test_an_event_stays_the_same_however_late_it_is_computed() -> None:
    """With what has come since: only its end may move."""
    rows: list[Row] = [(30 + at, 5, 1.5) for at in range(8)]
    later: list[Row] = [(at, 200 + at, 1.5, 1.5) for at in range(60)]

    (before,) = events_of(rows, fleet(20, 10))
    after = events_of([*rows, *later], fleet(20, 10))

    assert after[0] == before


def test_no_windows_are_no_events() -> None:
    assert events_of([], fleet(1, 1)) == []


@given(st.integers(0, 5), st.data())
def test_events_do_not_depend_on_where_the_pass_begins(seed: int, data: st.DataObject) -> None:
    """A pass that begins at a quiet time before finds the same events."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = [
        (int(rng.integers(200)), int(rng.integers(0, 300)), 1.5, float(rng.uniform(1, 2)))
        for _ in range(60)
    ]
    rows += [(30 + at, 100, 1.5, 1.5) for at in range(8)]
    rows = list({row[:2]: row for row in rows}.values())
    begin_s = T0 - data.draw(st.integers(0, 10)) * 3600
    labels = fleet(20, 10)
    ids = np.arange(len(labels), dtype=np.uint64)
    windows, traits = windows_of(rows), Traits.build(labels)

    span_s = (T0, T0 + 21_600)
    here = group(windows, traits, ids, SINCE_S, span_s, T0, None)
    there = group(windows, traits, ids, SINCE_S, span_s, begin_s, None)

    assert here == there
    assert all(one.start_s <= one.detected_s <= one.end_s + 600 for one in here)
    assert all(one.end_s <= one.start_s + END_AFTER_S for one in here)


@pytest.mark.parametrize(
    ("n", "mean", "exact"),
    [(1, 0.1, 0.0951626), (3, 0.1, 1.546531e-4), (10, 2.0, 4.649807e-5), (2, 5.0, 1.0)],
)
def test_the_tail_is_bounded_closely_from_above(n: int, mean: float, exact: float) -> None:
    """Exact values by the sum of the series."""
    bound = 10 ** log10_tail(n, mean)

    assert exact <= bound * (1 + 1e-6)
    assert bound <= 1.1 * exact

"""The campaign's checks see each thing that could be amiss, once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ops.faults.check import until
from ops.faults.compare import Difference, compare_rollups, compare_samples
from ops.faults.ledger import Ledger, Samples
from ops.faults.rollups import Rollups, rollups_of
from ops.faults.traffic import STALE, Request

MINUTE = 60_000
FALSE = np.zeros(1, np.bool_)


def request(series: int, time_ms: int, value: float) -> Request:
    return Request(
        "step", np.array([series], np.int32), np.array([time_ms]), np.array([value]), FALSE
    )


@pytest.fixture
def ledger() -> Ledger:
    """Two series of a sample every 10 s for 10 minutes, with one stale marker."""
    made = Ledger()
    for step in range(60):
        for series in range(2):
            value = float(STALE) if (step, series) == (30, 1) else float(step * 3 + series)
            made.add(request(series, step * 10_000, value), 1, step)
    return made


def taken(samples: Samples, rows: Any) -> Samples:
    return Samples(samples.series[rows], samples.times_ms[rows], samples.values[rows])


def without(samples: Samples, at: int) -> Samples:
    return taken(samples, np.arange(len(samples.series)) != at)


def again(samples: Samples, at: int) -> Samples:
    return taken(samples, [*range(len(samples.series)), at])


def counts(found: Difference) -> tuple[int, int, int, int]:
    return (found.lost, found.doubled, found.wrong, found.unknown)


def test_what_is_stored_right_is_right_in_any_order(ledger: Ledger) -> None:
    wanted = ledger.samples()
    order = np.random.default_rng(1).permutation(len(wanted.series))

    found = compare_samples(wanted, taken(wanted, order), ledger)

    assert found.is_none
    assert found.compared == 120


def test_a_lost_sample_is_seen(ledger: Ledger) -> None:
    """And which request had brought it."""
    wanted = ledger.samples()

    found = compare_samples(wanted, without(wanted, 5), ledger)

    assert counts(found) == (1, 0, 0, 0)
    assert "lost: series 0 time 50000" in found.examples[0]
    assert "request 10 (step)" in found.examples[1]


def test_a_doubled_sample_is_seen(ledger: Ledger) -> None:
    wanted = ledger.samples()

    assert counts(compare_samples(wanted, again(wanted, 7), ledger)) == (0, 1, 0, 0)
    assert counts(compare_samples(wanted, again(again(wanted, 7), 7), ledger)) == (0, 2, 0, 0)


def test_a_sample_that_nobody_sent_is_seen(ledger: Ledger) -> None:
    stored = ledger.samples()
    ledger_of_less = Ledger()
    for step in range(60):
        ledger_of_less.add(request(0, step * 10_000, step * 3.0), 1, 0)

    found = compare_samples(ledger_of_less.samples(), stored, ledger_of_less)

    assert counts(found) == (0, 0, 0, 60)


@pytest.mark.parametrize("value", [1.0, np.nextafter(15.0, 16.0), np.nan, float(STALE)])
def test_a_wrong_value_is_seen(ledger: Ledger, value: float) -> None:
    """Even one bit of it."""
    wanted = ledger.samples()
    stored = wanted._replace(values=wanted.values.copy())
    stored.values[5] = value

    assert counts(compare_samples(wanted, stored, ledger)) == (0, 0, 1, 0)


def test_another_nan_is_no_stale_marker(ledger: Ledger) -> None:
    wanted = ledger.samples()
    stored = wanted._replace(values=np.where(np.isnan(wanted.values), np.nan, wanted.values))

    assert counts(compare_samples(wanted, stored, ledger)) == (0, 0, 1, 0)


@pytest.mark.parametrize("column", Rollups._fields[2:])
def test_a_wrong_rollup_is_seen(ledger: Ledger, column: str) -> None:
    """In any column."""
    wanted = rollups_of(ledger.samples(), MINUTE)
    changed = getattr(wanted, column).copy()
    changed[3] *= 1.02

    if column == "n_samples":
        changed[3] += 1
    found = compare_rollups(
        wanted, wanted._replace(**{column: changed}), ledger, with_quantiles=True
    )

    assert counts(found) == (0, 0, 1, 0)
    assert found.examples[0].startswith("wrong: series 0 window 180000")
    assert found.examples[1].startswith("found: series 0 window 180000")


def test_quantiles_may_be_one_percent_off_or_not_looked_at(ledger: Ledger) -> None:
    wanted = rollups_of(ledger.samples(), MINUTE)
    near = wanted._replace(p90=wanted.p90 * 1.0099)
    none = wanted._replace(p90=np.full(len(wanted.p90), np.nan))

    assert compare_rollups(wanted, near, ledger, with_quantiles=True).is_none
    assert compare_rollups(wanted, none, ledger, with_quantiles=True).wrong == len(wanted.p90)
    assert compare_rollups(wanted, none, ledger, with_quantiles=False).is_none


def test_a_lost_a_doubled_and_an_undue_rollup_are_seen(ledger: Ledger) -> None:
    wanted = rollups_of(ledger.samples(), MINUTE)
    columns: Sequence[Any] = wanted
    lost = Rollups(*(np.delete(column, 2) for column in columns))
    doubled = Rollups(*(np.append(column, column[2]) for column in columns))

    assert counts(compare_rollups(wanted, lost, ledger, with_quantiles=True)) == (1, 0, 0, 0)
    assert counts(compare_rollups(wanted, doubled, ledger, with_quantiles=True)) == (0, 1, 0, 0)
    assert counts(compare_rollups(lost, wanted, ledger, with_quantiles=True)) == (0, 0, 0, 1)


def test_windows_that_may_be_open_are_left_out(ledger: Ledger) -> None:
    wanted = rollups_of(ledger.samples(), MINUTE)

    assert until(wanted, 3 * MINUTE).start_ms.max() == 3 * MINUTE


def test_the_last_acknowledged_value_counts() -> None:
    """Of two requests with one key the later one, and of one request its later sample."""
    ledger = Ledger()
    ledger.add(request(0, 1, 1.0), 1, 0)
    ledger.add(request(0, 1, 2.0), 1, 0)
    series, times, values = np.ones(2, np.int32), np.ones(2, np.int64), np.array([3.0, 4.0])
    twice = Request("twins", series, times, values, np.zeros(2, np.bool_))
    ledger.add(twice, 1, 0)

    assert ledger.samples().values.tolist() == [2.0, 4.0]


def test_refused_samples_are_not_wanted() -> None:
    ledger = Ledger()
    refused = request(0, 1, 1.0)._replace(is_refused=np.ones(1, np.bool_))

    ledger.add(refused, 1, 0)

    assert (ledger.n_samples, ledger.n_refused) == (0, 1)
    assert not len(ledger.samples().series)


def test_a_difference_with_examples_is_none_only_without_counts() -> None:
    assert Difference(compared=3).is_none
    assert not replace(Difference(), unknown=1).is_none

"""Active series: counted exactly, and only new ones are refused."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.active_series import WINDOW_MIN, ActiveSeries

T0 = 29_000_000  # minutes


def ids(*numbers: int) -> NDArray[np.uint64]:
    return np.array(numbers, dtype=np.uint64)


def test_only_series_above_the_limit_are_refused() -> None:
    """Two may be active: the third is refused, those two go on."""
    active = ActiveSeries(100)

    first = active.admit("a", ids(1, 2, 3), T0, most_active=2)
    second = active.admit("a", ids(3, 2, 1), T0 + 1, most_active=2)

    assert first.tolist() == [True, True, False]
    assert second.tolist() == [False, True, True]
    assert active.count("a", T0 + 1) == 2


def test_a_silent_series_makes_room_after_the_window() -> None:
    active = ActiveSeries(100)
    active.admit("a", ids(1), T0, most_active=1)

    at_the_end = active.admit("a", ids(2), T0 + WINDOW_MIN - 1, most_active=1)
    after = active.admit("a", ids(2), T0 + WINDOW_MIN, most_active=1)
    old_one = active.admit("a", ids(1), T0 + WINDOW_MIN, most_active=1)

    assert (at_the_end.tolist(), after.tolist(), old_one.tolist()) == ([False], [True], [False])


def test_series_that_begin_are_limited_by_the_hour_and_by_tenant() -> None:
    active = ActiveSeries(100)

    now = active.admit("a", ids(1, 2, 3), T0, most_begun=2)
    other = active.admit("b", ids(11, 12), T0, most_begun=2)
    within = active.admit("a", ids(3), T0 + 59, most_begun=2)
    after = active.admit("a", ids(3), T0 + 60, most_begun=2)

    assert (now.tolist(), other.tolist()) == ([True, True, False], [True, True])
    assert (within.tolist(), after.tolist()) == ([False], [True])


def test_announcements_of_other_edges_count_but_do_not_begin_series() -> None:
    """One that started a minute ago has read the last hour back."""
    active = ActiveSeries(100)
    active.note("a", ids(1, 2), T0 - 30)
    active.note("a", ids(3), T0 - WINDOW_MIN)
    active.note("a", ids(4), T0)

    assert active.count("a", T0) == 3
    assert active.admit("a", ids(1, 2, 4, 5), T0, 3, 1).tolist() == [True, True, True, False]
    assert active.count_begun("a", T0) == 0

    active.note("a", ids(4, 6), T0, is_new=True)
    active.note("b", ids(4), T0, is_new=True)

    assert (active.count_begun("a", T0), active.count_begun("b", T0)) == (1, 1)
    assert active.counts(T0) == {"a": 4, "b": 1}
    assert active.counts(T0 + WINDOW_MIN) == {"a": 0, "b": 0}


def test_what_has_no_room_in_memory_is_let_pass() -> None:
    active = ActiveSeries(2)

    assert active.admit("a", ids(1, 2, 3, 4), T0, most_active=10).all()
    assert active.count("a", T0) == 3 - 1


def test_a_table_that_grows_and_forgets_goes_on_counting() -> None:
    active = ActiveSeries(1 << 20)
    for at in range(10):
        block = np.arange(at * 5_000, at * 5_000 + 10_000, dtype=np.uint64) + np.uint64(1)
        active.admit("a", block, T0 + at * 20)

    # Of the last 65 minutes: blocks 6 to 9, and the half of 5 that 6 announced again.
    assert active.count("a", T0 + 180) == 25_000
    # Slots of 12 bytes, at most 5.4 a series, for some 50,000 series at once.
    assert active.n_bytes() < 50_000 * 64


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(1, 12), min_size=1)), max_size=15),
    st.integers(1, 12),
)
def test_it_counts_as_a_plain_dictionary_does(
    steps: list[tuple[int, set[int]]], limit: int
) -> None:
    active, plain, now = ActiveSeries(100), dict[int, int](), T0
    for pause, series in steps:
        now += pause
        order = sorted(series)
        expected = []
        for one in order:
            is_active = plain.get(one, 0) > now - WINDOW_MIN
            n_active = sum(at > now - WINDOW_MIN for at in plain.values())
            expected.append(is_active or n_active < limit)
            if expected[-1]:
                plain[one] = now

        assert active.admit("a", ids(*order), now, most_active=limit).tolist() == expected
        assert active.count("a", now) == sum(at > now - WINDOW_MIN for at in plain.values())

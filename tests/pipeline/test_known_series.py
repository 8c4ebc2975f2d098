"""The set of announced series."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.known_series import ANNOUNCE_EVERY_MS, KnownSeries

NOW_MS = 1_700_000_000_000
ids = st.lists(st.integers(1, 2**64 - 1), max_size=300)


def array(of: list[int]) -> NDArray[np.uint64]:
    return np.array(of, dtype=np.uint64)


@given(st.lists(ids, max_size=5), ids)
def test_it_is_a_set(added: list[list[int]], asked: list[int]) -> None:
    known = KnownSeries(10_000)
    for some in added:
        known.add(array(some), NOW_MS)
    everything = {one for some in added for one in some}

    unknown = known.unknown(array(asked + list(everything)), NOW_MS)

    assert unknown.tolist() == [one not in everything for one in asked] + [False] * len(everything)
    assert len(known) == len(everything)


def test_a_series_is_announced_again_within_every_hour() -> None:
    known, one = KnownSeries(10), array([12345])
    known.add(one, NOW_MS)

    is_unknown = [bool(known.unknown(one, NOW_MS + minute * 60_000)[0]) for minute in range(120)]

    first = is_unknown.index(True)
    assert 0 < first <= ANNOUNCE_EVERY_MS // 60_000
    assert not any(is_unknown[:first])


def test_series_do_not_all_come_due_at_once() -> None:
    known = KnownSeries(2000)
    rng = np.random.default_rng(1)
    series = rng.integers(1, 2**64, 1000, dtype=np.uint64)
    known.add(series, NOW_MS)

    due = known.unknown(series, NOW_MS + ANNOUNCE_EVERY_MS // 2).sum()

    assert 400 < due < 600


def test_at_its_limit_it_starts_over() -> None:
    known = KnownSeries(3)
    known.add(array([1, 2, 3]), NOW_MS)
    known.add(array([4]), NOW_MS)

    assert len(known) == 1
    assert known.unknown(array([1, 4]), NOW_MS).tolist() == [True, False]

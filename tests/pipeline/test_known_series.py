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


def test_at_its_limit_what_was_not_met_again_goes() -> None:
    """Generations of 3: 1, 2, 3 | 4 and 1, met again | 5, 6, 7 make room by dropping 2 and 3."""
    known = KnownSeries(3)
    known.add(array([1, 2, 3]), NOW_MS)
    known.add(array([4]), NOW_MS)
    assert known.unknown(array([1, 4]), NOW_MS).tolist() == [False, False]

    known.add(array([5, 6, 7]), NOW_MS)

    assert known.unknown(array([1, 2, 3, 4, 5]), NOW_MS).tolist() == [
        *(False, True, True, False, False)
    ]


def test_a_series_keeps_its_hour_when_it_moves() -> None:
    known, one = KnownSeries(1), array([12345])
    known.add(one, NOW_MS)
    due_ms = next(
        ms
        for ms in range(NOW_MS, NOW_MS + 2 * ANNOUNCE_EVERY_MS, 60_000)
        if known.unknown(one, ms)[0]
    )
    known.add(array([6]), NOW_MS)

    assert known.unknown(one, due_ms - 60_000).tolist() == [False]
    assert known.unknown(one, due_ms).tolist() == [True]


@given(
    st.integers(1, 40),
    st.lists(st.lists(st.integers(1, 60), max_size=30, unique=True), max_size=20),
)
def test_no_more_is_kept_than_allowed_and_nothing_live_is_forgotten(
    max_series: int, scrapes: list[list[int]]
) -> None:
    """Of each scrape the unknown are added: one is unknown only after max_series others came."""
    known, since_met, largest = KnownSeries(max_series), dict[int, set[int]](), max_series
    for scrape in scrapes:
        largest = max(largest, len(scrape))
        unknown = known.unknown(array(scrape), NOW_MS)
        for series, is_unknown in zip(scrape, unknown.tolist(), strict=True):
            if is_unknown and series in since_met:
                assert len(since_met[series] | set(scrape)) >= max_series
        known.add(array(scrape)[unknown], NOW_MS)
        for others in since_met.values():
            others.update(scrape)
        since_met |= {series: set(scrape) for series in scrape}

        assert len(known) <= 2 * largest


def test_live_series_are_not_announced_again_when_others_come_and_go() -> None:
    """1,000 live series and 200 new ones at each scrape, in room for 2,000."""
    rng = np.random.default_rng(3)
    live = rng.integers(1, 2**64, 1000, dtype=np.uint64)
    known, n_again = KnownSeries(2000), 0
    known.add(live, NOW_MS)
    for _ in range(100):
        n_again += int(known.unknown(live, NOW_MS).sum())
        known.add(rng.integers(1, 2**64, 200, dtype=np.uint64), NOW_MS)

    assert n_again == 0
    assert known.n_bytes() <= 2 * 4096 * 12

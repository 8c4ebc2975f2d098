"""Logged samples held against stored ones: repeats, losses and wrong values, in bounded memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ops.verify.balance import LAST_RANK, Gathering, Ranks, Samples, by_day, find, merge, samples_of
from schemas.samples import SampleBlock

DAY_MS = 86_400_000
BY_ID = Ranks(1, 0)


def samples(*rows: tuple[int, int, float], lettered: bool = False) -> Samples:
    ids, times, values = zip(*rows, strict=True) if rows else ((), (), ())
    block = SampleBlock(
        *("t", 0, 30),
        np.array(ids, dtype=np.uint64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )
    return samples_of(block, lettered=lettered)


def rows(found: Samples) -> list[tuple[int, int, float, int]]:
    values = found.bits.view(np.float64)
    columns = (found.series_ids, found.times_ms, values, found.counts)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_of_repeats_the_last_stays_and_all_are_counted() -> None:
    """Whether they came in one part or in several."""
    merged = merge([samples((2, 5, 1.0), (1, 9, 2.0), (2, 5, 3.0)), samples((2, 5, 4.0))])

    assert rows(merged) == [(1, 9, 2.0, 1), (2, 5, 4.0, 3)]


def test_merging_what_is_merged_counts_on() -> None:
    first = merge([samples((1, 1, 1.0), (1, 1, 2.0))])

    assert rows(merge([first, samples((1, 1, 3.0))])) == [(1, 1, 3.0, 3)]


def test_the_letter_of_the_last_record_counts() -> None:
    """A repeat whose record was dead-lettered may be missing; one before it may not."""
    merged = merge([samples((1, 1, 1.0), lettered=True), samples((1, 1, 2.0), (1, 2, 1.0))])

    assert merged.lettered.tolist() == [False, False]
    assert merge([merged, samples((1, 2, 1.0), lettered=True)]).lettered.tolist() == [False, True]


def test_lost_and_wrong_samples_are_told_apart_bit_by_bit() -> None:
    """Minus zero is not zero, one NaN is not another, and what else is stored does not matter."""
    nan, other_nan = (
        np.array([bits], np.uint64).view(np.float64)[0]
        for bits in (0x7FF8000000000000, 0x7FF0000000000002)
    )
    logged = merge([samples((1, 1, 0.0), (1, 2, 5.0), (2, 1, nan), (3, 7, other_nan))])
    stored = merge([samples((0, 1, 9.0), (1, 1, -0.0), (2, 1, nan), (3, 7, nan), (3, 8, 1.0))])

    found = find(logged, stored.series_ids, stored.times_ms, stored.bits)

    assert found.is_missing.tolist() == [False, True, False, False]
    assert found.is_wrong.tolist() == [True, False, False, True]
    assert found.stored_bits[0] == 1 << 63


def test_nothing_stored_is_all_lost() -> None:
    none = merge([])

    found = find(samples((1, 1, 0.0)), none.series_ids, none.times_ms, none.bits)

    assert found.is_missing.tolist() == [True]
    assert len(find(none, none.series_ids, none.times_ms, none.bits).is_wrong) == 0


_rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 3).map(float)), max_size=60
)


@given(parts=st.lists(_rows, max_size=6), budget=st.integers(1, 20), seed=st.integers(0, 2**64 - 1))
def test_several_readings_within_the_memory_give_what_one_gives(
    parts: list[list[tuple[int, int, float]]], budget: int, seed: int
) -> None:
    """Each series is in one reading, whole; counts add up to what was logged."""
    ranks = Ranks(0x9E3779B97F4A7C15, seed)
    blocks = [samples(*part) for part in parts]
    taken = []
    first = 0
    while first <= LAST_RANK:
        gathering = Gathering(ranks, first, LAST_RANK, budget)
        for block in blocks:
            gathering.add(block)
        taken.append(gathering.take())
        first = gathering.last + 1

    assert sorted(row for one in taken for row in rows(one)) == rows(merge(blocks))
    assert sum(int(one.counts.sum()) for one in taken) == sum(map(len, parts))


def test_a_gathering_holds_little_more_than_its_budget() -> None:
    """A hundred series of ten samples, for a budget of 200 of them."""
    gathering = Gathering(BY_ID, 0, LAST_RANK, 200)
    for time_ms in range(10):
        gathering.add(samples(*((key, time_ms, 0.0) for key in range(100))))

    assert len(gathering.take()) <= 400
    assert gathering.last < 50


def test_days_and_groups_of_series_are_apart() -> None:
    """Two days, three series, two at once."""
    whole = merge([samples((1, 1, 0.0), (2, DAY_MS - 1, 0.0), (3, 5, 0.0), (1, DAY_MS, 0.0))])

    parts = [rows(part) for part in by_day(whole, 2)]

    assert parts == [
        [(1, 1, 0.0, 1), (2, DAY_MS - 1, 0.0, 1)],
        [(3, 5, 0.0, 1)],
        [(1, DAY_MS, 0.0, 1)],
    ]


def test_a_rank_is_the_same_for_one_and_for_many() -> None:
    """Modulo 2**64, as the store's SQL has it."""
    ranks = Ranks(0x9E3779B97F4A7C15, 2**64 - 3)
    ids = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)

    assert ranks.of(ids).tolist() == [ranks.of_one(int(one)) for one in ids]

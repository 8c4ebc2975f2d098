"""Sketches, against exact quantiles and against one another."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.arena import HEAD_WORDS, add_value, grown_arena, new_arena, take_sketches
from pipeline.sketch import (
    CODE_OFFSET,
    GAMMA,
    INFINITY_CODE,
    K_OFFSET,
    MAX_CODES,
    MAX_COUNT,
    entry_of,
    normalize,
    quantiles,
    value_of,
)
from schemas.rollups import SKETCH_COUNT_BITS
from tests.reference import quantile_reference

LEVELS = (0.0, 0.5, 0.9, 0.99, 1.0)

# Less than this apart, two floats next to zero may be neighbours.
TINY = 1e-323

numbers = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, math.inf, -math.inf, 1.7976931348623157e308]),
    st.integers(-5, 5).map(float),
)


def code_of(value: float) -> int:
    return int(entry_of(value) >> SKETCH_COUNT_BITS) - CODE_OFFSET


def sketch_of(values: Sequence[float]) -> np.ndarray:
    entries = np.array([entry_of(value) for value in values], dtype=np.uint32)
    return entries[: normalize(entries)]


def counts_of(sketch: np.ndarray) -> dict[int, int]:
    """Return the number of samples by code."""
    found: dict[int, int] = {}
    for entry in sketch.tolist():
        code = (entry >> SKETCH_COUNT_BITS) - CODE_OFFSET
        found[code] = found.get(code, 0) + (entry & MAX_COUNT)
    return found


def assert_quantiles(values: Sequence[float]) -> None:
    sketch = sketch_of(values)
    lengths = np.array([len(sketch)], dtype=np.uint32)
    ends = (np.array([min(values)]), np.array([max(values)]))

    (got,) = quantiles(lengths, sketch, *ends, np.array(LEVELS))

    for level, found in zip(LEVELS, got, strict=True):
        exact = quantile_reference(values, level)
        assert math.isclose(found, exact, rel_tol=0.01 + 1e-9, abs_tol=TINY), (level, found, exact)


def test_a_code_is_that_of_the_definition() -> None:
    """Bucket k holds values over GAMMA**(k-1), up to GAMMA**k."""
    assert code_of(1.0) == K_OFFSET
    assert code_of(1.001) == K_OFFSET + 1
    assert code_of(GAMMA**7 * 0.999) == K_OFFSET + 7
    assert code_of(-(GAMMA**7) * 0.999) == -K_OFFSET - 7
    assert code_of(0.0) == code_of(-0.0) == 0
    assert code_of(math.inf) == INFINITY_CODE
    assert code_of(-math.inf) == -INFINITY_CODE


@given(numbers, numbers)
def test_codes_ascend_with_values(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert code_of(low) <= code_of(high)
    assert 0 < entry_of(low) < 2**32


@given(numbers)
def test_a_bucket_stands_for_its_values_within_one_percent(value: float) -> None:
    assert math.isclose(value_of(entry_of(value)), value, rel_tol=0.01 + 1e-9, abs_tol=TINY)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).pareto(0.5, 5000) * 1e-3,
        np.random.default_rng(2).lognormal(0, 20, 5000),
        np.full(1000, 7.3),
        -np.random.default_rng(3).pareto(1.0, 5000) - 1,
        np.random.default_rng(4).standard_cauchy(5000),
        np.random.default_rng(5).random(5000) * 1e-305,
        np.array([5e-324, 1e-323, 2e-322, -1e-320, 0.0]),
        np.array([-math.inf, 1.0, math.inf, 1.7e308]),
    ],
    ids=["heavy", "heavier", "constant", "negative", "mixed", "tiny", "denormal", "infinite"],
)
def test_quantiles_are_within_one_percent_of_the_exact_ones(values: np.ndarray) -> None:
    assert_quantiles(values.tolist())


@given(st.lists(numbers, min_size=1, max_size=60))
def test_quantiles_of_anything_are_within_one_percent(values: list[float]) -> None:
    assert_quantiles(values)


def test_a_row_without_a_sketch_has_no_quantiles() -> None:
    lengths, sketch = np.array([0, 1, 0], np.uint32), sketch_of([2.0])
    ends = np.array([math.nan, 2.0, 1.0])

    got = quantiles(lengths, sketch, ends, ends, np.array([0.5]))

    assert np.isnan(got[[0, 2]]).all()
    assert got[1, 0] == 2.0


def test_a_full_entry_is_repeated() -> None:
    sketch = sketch_of([1.0] * (2 * MAX_COUNT + 5) + [2.0])

    assert (sketch & MAX_COUNT).tolist() == [MAX_COUNT, MAX_COUNT, 5, 1]
    assert (sketch >> SKETCH_COUNT_BITS)[:3].tolist() == [K_OFFSET + CODE_OFFSET] * 3


def test_of_too_many_codes_the_smallest_become_one() -> None:
    """A bounded sketch keeps its upper quantiles."""
    codes = range(-50, MAX_CODES + 50)
    entries = np.array(
        [(code + CODE_OFFSET) << SKETCH_COUNT_BITS | 2 for code in codes], dtype=np.uint32
    )

    counts = counts_of(entries[: normalize(entries)])

    assert len(counts) == MAX_CODES
    assert (min(counts), max(counts)) == (50, MAX_CODES + 49)
    assert counts[50] == 2 * 101
    assert counts[51] == 2


many = st.lists(
    st.tuples(st.integers(-9000, 9000), st.integers(1, MAX_COUNT)), min_size=1, max_size=200
)


@given(many, many, st.integers(0, 4200))
def test_merging_parts_gives_the_sketch_of_the_whole(
    one: list[tuple[int, int]], other: list[tuple[int, int]], n_fill: int
) -> None:
    """Also where both parts and the whole are bounded, whatever the order."""
    filled = [(code, 1) for code in range(-n_fill, n_fill)]
    parts = [
        np.array(
            [(code + CODE_OFFSET) << SKETCH_COUNT_BITS | n for code, n in part], dtype=np.uint32
        )
        for part in (one + filled, other)
    ]
    whole = np.concatenate(parts)[::-1].copy()

    merged = np.concatenate([part[: normalize(part)] for part in parts])

    assert merged[: normalize(merged)].tobytes() == whole[: normalize(whole)].tobytes(), (
        "merged differs"
    )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(numbers, st.integers(1, 10**6).map(float))),
        max_size=400,
    ),
    st.integers(1, 20_000),
)
def test_an_arena_gives_back_what_was_put_in_and_all_its_chunks(
    added: list[tuple[int, float]], n_equal: int
) -> None:
    heads = np.zeros((3, HEAD_WORDS), dtype=np.uint32)
    chunks, free = new_arena(1)
    values: list[list[float]] = [[], [], []]
    for to, value in [*added, *[(1, 5.0)] * n_equal]:
        if not free[1]:
            chunks, free = grown_arena(chunks, free, 2 * len(chunks))
        add_value(heads[to], chunks, free, value)
        values[to].append(value)

    lengths, sketch = take_sketches(heads, chunks, free)

    assert [sketch.tolist(), lengths.tolist()] == [
        np.concatenate([sketch_of(one) for one in values]).tolist(),
        [len(sketch_of(one)) for one in values],
    ]
    assert free[1] == len(chunks)
    assert not heads[:, 6:].any()

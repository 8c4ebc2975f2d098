"""Windows held against their samples by SQL: what is wrong is found and named, nothing else is."""

import asyncio
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.refold import refold
from schemas.samples import STALE_MARKER_BITS
from tests.reference import RollupRow, rollup_reference
from tests.topology.store.rows import (
    NOON_MS,
    RETENTION_DAYS,
    sample_block,
    store_samples,
    store_series,
)
from topology.settings import load_settings
from topology.store.client import Engine
from topology.store.queries import Queries
from topology.store.verify import WIDTHS_S, Difference, Page, Scope, Verdict, Verifier, Width

STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])
NOON_S = NOON_MS // 1000
FLOATS = ("sum", "min", "max", "first", "last", "increase")
SERIES = {1: {"__name__": "requests_total", "host": "a"}, 2: {"__name__": "cpu", "host": "b"}}

Samples = Sequence[tuple[int, int, float]]
Row = dict[str, Any]


@pytest.fixture
def verifier(engine: Engine) -> Iterator[Verifier]:
    queries = Queries(load_settings())
    queries.open(engine)
    yield Verifier(queries)
    queries.close()


def kept(samples: Samples) -> list[tuple[int, int, float]]:
    """Return them sorted, of several with one time the last."""
    last = {(key, time_ms): value for key, time_ms, value in samples}
    return [(*place, value) for place, value in sorted(last.items())]


def right_rows(samples: Samples, widths_s: Sequence[int] = WIDTHS_S) -> list[Row]:
    """Return the rows of all widths, with sketches, as dictionaries that a test may spoil."""
    ids, times, values = (np.array(column) for column in zip(*kept(samples), strict=True))
    rows = []
    for width_s in widths_s:
        made = refold(
            ids.astype(np.uint64), times.astype(np.int64), values, width_s * 1000, sketches=True
        )
        ends = np.cumsum(made.sketch_lengths)
        for row, length, end in zip(made.rows, made.sketch_lengths, ends, strict=True):
            floats = {name: float(row[name]) for name in FLOATS}
            rows.append(
                {
                    "width_s": width_s,
                    "series_id": int(row["series_id"]),
                    "window_start": int(row["window_ms"]) // 1000,
                    "count": int(row["count"]),
                    **floats,
                    "sketch": made.sketch[end - length : end].tolist(),
                    "version": 0,
                }
            )
    return rows


def store_rows(engine: Engine, tenant: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["window_start"] = pa.array(columns["window_start"], pa.timestamp("s", tz="UTC"))
    columns["series_id"] = pa.array(columns["series_id"], pa.uint64())
    columns["sketch"] = pa.array(columns["sketch"], pa.list_(pa.uint32()))
    columns |= {"tenant": [tenant] * len(rows), "retention_days": [RETENTION_DAYS] * len(rows)}
    engine.writer.insert_arrow("stored_rollups", pa.table(columns))


def scope(tenant: str) -> Scope:
    return Scope(tenant, [1, 2], NOON_S - 3600, NOON_S + 3600)


def brief(verdict: Verdict) -> list[tuple[str, int, int, int, list[str]]]:
    return sorted(
        (one.kind, one.width_s, one.series_id, one.start_s - NOON_S, [c.name for c in one.columns])
        for one in verdict.differences
    )


# Two series every 10 s for 7 minutes, one a counter with a reset, and a stale marker.
SAMPLES = [(1, NOON_MS + i * 10_000, float(i % 25)) for i in range(42)] + [
    (2, NOON_MS + i * 10_000, STALE if i == 9 else math.sin(i)) for i in range(42)
]


async def test_a_clean_store_has_no_differences(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """All four widths are looked at; samples count once a width, stale markers do not."""
    store_samples(engine, sample_block(tenant, SAMPLES))
    store_rows(engine, tenant, right_rows(SAMPLES))

    verdict = await verifier.compare(scope(tenant))

    assert verdict.differences == []
    found = {one.width_s: (one.n_windows, one.n_samples, one.n_wrong) for one in verdict.widths}
    assert found == {10: (83, 83, 0), 60: (14, 83, 0), 300: (4, 83, 0), 3600: (2, 83, 0)}


@pytest.mark.parametrize("width_s", WIDTHS_S)
@pytest.mark.parametrize("column", ["count", *FLOATS])
async def test_a_wrong_column_is_found_and_named(
    engine: Engine, verifier: Verifier, tenant: str, width_s: int, column: str
) -> None:
    """By the smallest change: one more, or a millionth; with series, window, and both values."""
    store_series(engine, tenant, SERIES)
    store_samples(engine, sample_block(tenant, SAMPLES))
    rows = right_rows(SAMPLES)
    spoilt = next(row for row in rows if row["width_s"] == width_s and row["series_id"] == 2)
    spoilt[column] += 1 if column == "count" else 1e-6

    store_rows(engine, tenant, rows)
    verdict = await verifier.compare(scope(tenant))

    assert brief(verdict) == [("different", width_s, 2, 0, [column])]
    found = verdict.differences[0]
    assert (found.metric, found.labels) == ("cpu", {"host": "b"})
    assert float(found.columns[0].stored) == spoilt[column]
    assert float(found.columns[0].expected) < spoilt[column]


@pytest.mark.parametrize("width_s", WIDTHS_S)
async def test_a_wrong_sketch_is_found(
    engine: Engine, verifier: Verifier, tenant: str, width_s: int
) -> None:
    """Entries moved by three buckets are quantiles off by 6 %; one that is gone, a wrong number."""
    samples = [(key, NOON_MS + i * 1_000, 100.0 + i) for i in range(400) for key in (1, 2)]
    store_samples(engine, sample_block(tenant, samples))
    rows = right_rows(samples)
    of_width = [row for row in rows if (row["width_s"], row["window_start"]) == (width_s, NOON_S)]
    moved, short = of_width
    # Codes up, as far as the largest value lets a quantile go.
    moved["sketch"] = [entry + (3 << 14) for entry in moved["sketch"]]
    short["sketch"] = short["sketch"][:-1]
    store_rows(engine, tenant, rows)

    verdict = await verifier.compare(scope(tenant))

    found = {series_id: set(columns) for _, _, series_id, _, columns in brief(verdict)}
    assert "p50" in found[1]
    assert "sketch" not in found[1]
    assert "sketch" in found[2]


@pytest.mark.parametrize("width_s", WIDTHS_S)
async def test_missing_and_extra_windows_are_found(
    engine: Engine, verifier: Verifier, tenant: str, width_s: int
) -> None:
    """A row that is not there, and one that no sample made; a window of 10 s between two others."""
    store_samples(engine, sample_block(tenant, SAMPLES))
    rows = right_rows(SAMPLES)
    of_width = [row for row in rows if (row["width_s"], row["series_id"]) == (width_s, 1)]
    gone = of_width[min(1, len(of_width) - 1)]
    rows.remove(gone)
    extra = {**of_width[0], "window_start": NOON_S - 3600}
    store_rows(engine, tenant, [*rows, extra])

    verdict = await verifier.compare(scope(tenant))

    assert brief(verdict) == [
        ("extra", width_s, 1, -3600, ["count"]),
        ("missing", width_s, 1, gone["window_start"] - NOON_S, ["count"]),
    ]


async def test_only_whole_windows_of_the_range_are_judged(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """From half of minute 0 to half of minute 3: two windows, of which one is bad.

    minute   0  |1   2 | 3
    row      -   ok bad  -
    """
    store_samples(engine, sample_block(tenant, SAMPLES))
    rows = [row for row in right_rows(SAMPLES, [60]) if row["series_id"] == 1]
    rows[2]["sum"] = 0.5
    store_rows(engine, tenant, rows[1:3])

    verdict = await verifier.compare(Scope(tenant, [1], NOON_S + 30, NOON_S + 210))

    assert brief(verdict) == [("different", 60, 1, 120, ["sum"])]
    assert verdict.widths == [Width(60, 2, 12, 1)]


async def test_without_windows_of_ten_seconds_none_is_missed(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """Most tenants do not want them."""
    store_samples(engine, sample_block(tenant, SAMPLES))
    store_rows(engine, tenant, right_rows(SAMPLES, [60, 300, 3600]))

    verdict = await verifier.compare(scope(tenant))

    assert verdict.differences == []
    assert [one.width_s for one in verdict.widths] == [60, 300, 3600]


async def test_a_window_that_lost_its_samples_has_a_hidden_row(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """A row of count 0 is none."""
    rows = right_rows([(1, NOON_MS, 1.0)], [60])
    rows[0]["count"] = 0
    store_rows(engine, tenant, rows)
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, STALE)]))

    assert (await verifier.compare(scope(tenant))).widths == []


async def test_bits_of_first_and_last_count(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """Zero and minus zero differ there; for min and max they are one, as is every NaN."""
    odd_nan = float(np.array([0x7FF8000000000123], dtype=np.uint64).view(np.float64)[0])
    samples = [(1, NOON_MS, 0.0), (1, NOON_MS + 1000, 0.0), (2, NOON_MS, odd_nan)]
    store_samples(engine, sample_block(tenant, samples))
    rows = right_rows(samples, [60])
    rows[0] |= {"first": -0.0, "min": -0.0, "max": -0.0}
    rows[1] |= {"first": math.nan, "last": math.nan, "min": math.nan, "max": math.nan}
    store_rows(engine, tenant, rows)

    verdict = await verifier.compare(Scope(tenant, [1, 2], NOON_S, NOON_S + 60, [60]))

    assert brief(verdict) == [("different", 60, 1, 0, ["first"])]


async def test_a_sum_that_overflows_says_nothing_and_another_still_does(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """1e308 twice is infinite, or not, by the order: with -inf the sum is nan, or -inf."""
    overflowing = [(1, NOON_MS, 1e308), (1, NOON_MS + 1000, 1e308), (1, NOON_MS + 2000, -math.inf)]
    infinite = [(2, NOON_MS, 1.0), (2, NOON_MS + 1000, -math.inf)]
    samples = [*overflowing, *infinite]
    store_samples(engine, sample_block(tenant, samples))
    rows = right_rows(samples, [300])
    rows[0] |= {"sum": -math.inf}
    rows[1] |= {"sum": math.nan}
    store_rows(engine, tenant, rows)

    verdict = await verifier.compare(Scope(tenant, [1, 2], NOON_S, NOON_S + 300, [300]))

    assert brief(verdict) == [("different", 300, 2, 0, ["sum"])]


_values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, STALE, 1e308, -1e308]),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(0, 30).map(float),
)
# Steps of 25 s over 20 minutes: runs of samples, and gaps on both sides of the 5 minutes.
_samples = st.lists(
    st.tuples(
        st.sampled_from([1, 2]), st.integers(0, 48).map(lambda i: NOON_MS + i * 25_000), _values
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25)
@given(samples=_samples)
def test_the_statement_agrees_with_the_reference(
    engine: Engine, samples: list[tuple[int, int, float]]
) -> None:
    """Rows of the slow reference, sketches of the pipeline: whatever the samples are, all is well.

    And before any row is stored, each window of the reference is missed, and no other.
    """
    tenant = f"tenant-{uuid.uuid4().hex[:12]}"
    store_samples(engine, sample_block(tenant, samples))
    expected = reference_rows(samples)

    none = asyncio.run(compare_once(engine, scope(tenant)))
    store_rows(engine, tenant, with_columns(right_rows(samples), expected))
    verdict = asyncio.run(compare_once(engine, scope(tenant)))

    assert verdict.differences == []
    assert sum(one.n_windows for one in verdict.widths) == len(expected)
    missed = {(one.width_s, one.series_id, one.start_s) for one in none.differences}
    assert missed == {place for place in expected if place[0] != 10}


async def compare_once(engine: Engine, looked_at: Scope) -> Verdict:
    queries = Queries(load_settings())
    queries.open(engine)
    verdict = await Verifier(queries).compare(looked_at)
    queries.close()
    return verdict


def reference_rows(samples: Samples) -> dict[tuple[int, int, int], RollupRow]:
    """Return the rows of both series by width, series and start in seconds."""
    return {
        (width_s, key, start // 1000): row
        for width_s in WIDTHS_S
        for key in (1, 2)
        for start, row in rollup_reference(
            key,
            [time_ms for of, time_ms, _ in samples if of == key],
            [value for of, _, value in samples if of == key],
            width_s * 1000,
        ).items()
    }


def with_columns(
    rows: Sequence[Row], expected: Mapping[tuple[int, int, int], RollupRow]
) -> list[Row]:
    """Return the rows with the columns that the reference gives."""
    places = [(row["width_s"], row["series_id"], row["window_start"]) for row in rows]
    names = ("count", *FLOATS)
    return [
        row | dict(zip(names, expected[place], strict=True))
        for row, place in zip(rows, places, strict=True)
    ]


async def test_series_are_chosen_by_seed_and_page(
    engine: Engine, verifier: Verifier, tenant: str
) -> None:
    """A seed gives an order of all live series; the pages of it hold each of them once."""
    factor, seed = 0x9E3779B97F4A7C15, 12345
    ids = {(i * 0x2545F4914F6CDD1D) % 2**64 for i in range(1, 50)}
    store_series(engine, tenant, {one: {"__name__": "m", "i": str(one)} for one in ids})
    store_series(engine, tenant, {7: {"__name__": "m"}}, seen_ms=NOON_MS - 3 * 3_600_000)

    pages: list[list[int]] = []
    after = 0
    while found := await verifier.choose(tenant, NOON_S, Page(20, factor, seed, after)):
        pages.append(found)
        after = (found[-1] * factor + seed) % 2**64

    chosen = [one for page in pages for one in page]
    assert [len(page) for page in pages] == [20, 20, 9]
    assert set(chosen) == ids
    assert chosen == sorted(chosen, key=lambda one: (one * factor + seed) % 2**64)
    assert chosen[:20] != sorted(ids)[:20]


def test_a_difference_is_data() -> None:
    """It travels as JSON."""
    one = Difference("missing", 60, NOON_S, 2**64 - 1, [], "m", {"a": "b"})

    assert msgspec.json.decode(msgspec.json.encode(one), type=Difference) == one

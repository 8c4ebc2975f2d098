"""Windows computed from stored samples equal the plain reference, whatever the samples are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rollups import RecomputeBlock
from schemas.samples import STALE_MARKER_BITS
from tests.reference import RollupRow, rollup_reference
from tests.topology.store.rows import (
    NOON_MS,
    RETENTION_DAYS,
    new_tenant,
    read,
    sample_block,
    store_samples,
)
from topology.metrics import Metrics
from topology.store.client import Engine
from topology.store.stretch_parts import parts_of
from topology.store.writer import Writer

STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])

_values = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf, STALE]),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)),
)
# Steps of 25 s over 20 minutes: runs of samples, and gaps on both sides of the 5 minutes.
_samples = st.lists(
    st.tuples(
        st.sampled_from([1, 2**63 + 5]),
        st.integers(0, 48).map(lambda step: NOON_MS + step * 25_000),
        _values,
    ),
    min_size=1,
    max_size=40,
)


def _mark(tenant: str, width_s: int, windows: list[tuple[int, int]]) -> RecomputeBlock:
    ids, starts = zip(*windows, strict=True)
    starts_ms = np.array(starts, dtype=np.int64)
    return RecomputeBlock(
        *(tenant, NOON_MS, RETENTION_DAYS, width_s, 0, 0, 0, 0),
        np.array(ids, dtype=np.uint64),
        starts_ms,
        starts_ms,
    )


def _recompute(engine: Engine, marks: list[RecomputeBlock], version: int) -> None:
    writer = Writer(engine, Metrics(), lambda: version)
    for part in parts_of(marks):
        writer.recompute(part)


def _rollups(engine: Engine, tenant: str, width_s: int) -> dict[tuple[int, int], RollupRow]:
    rows = read(
        engine,
        tenant,
        "SELECT series_id, toUnixTimestamp(window_start) * 1000, count, sum, min, max, first, last,"
        f" increase FROM rollups WHERE width_s = {width_s}",
    )
    return {(row[0], row[1]): row[2:] for row in rows}


@pytest.mark.parametrize("width_s", [10, 60, 300, 3600])
@settings(max_examples=15)
@given(samples=_samples)
def test_recomputed_windows_equal_the_reference(
    engine: Engine, width_s: int, samples: list[tuple[int, int, float]]
) -> None:
    """Late, repeated, stale and NaN samples, several series and windows in one statement."""
    tenant = new_tenant()
    store_samples(engine, sample_block(tenant, samples))
    width_ms = width_s * 1000
    expected = {
        (key, start): row
        for key in {key for key, _, _ in samples}
        for start, row in rollup_reference(
            key,
            [time_ms for of, time_ms, _ in samples if of == key],
            [value for of, _, value in samples if of == key],
            width_ms,
        ).items()
    }

    windows = [(key, time_ms // width_ms * width_ms) for key, time_ms, _ in samples]
    _recompute(engine, [_mark(tenant, width_s, windows)], version=1)

    found = _rollups(engine, tenant, width_s)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        np.testing.assert_allclose(found[key], row, rtol=1e-9, atol=1e-6)


def test_increase_counts_from_the_sample_before_the_window(engine: Engine, tenant: str) -> None:
    """10 at -300 s counts, so 10 -> 14 adds 4; the reset to 3 adds 3; the window has two samples.

    -300 s      0 s     30 s    60 s
      10   |    14       3    |
    """
    rows = [(1, NOON_MS - 300_000, 10.0), (1, NOON_MS, 14.0), (1, NOON_MS + 30_000, 3.0)]
    store_samples(engine, sample_block(tenant, rows))

    _recompute(engine, [_mark(tenant, 60, [(1, NOON_MS)])], version=1)

    assert _rollups(engine, tenant, 60) == {(1, NOON_MS): (2, 17.0, 3.0, 14.0, 14.0, 3.0, 7.0)}


def test_a_later_version_replaces_and_an_empty_window_has_no_row(
    engine: Engine, tenant: str
) -> None:
    """Only marked windows with samples are written; a second mark sees what came since."""
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 1.0)]))
    mark = _mark(tenant, 60, [(1, NOON_MS), (1, NOON_MS + 60_000), (2, NOON_MS)])
    _recompute(engine, [mark], version=1)
    store_samples(engine, sample_block(tenant, [(1, NOON_MS + 1, 2.0)]))

    _recompute(engine, [mark, mark], version=2)

    assert _rollups(engine, tenant, 60) == {(1, NOON_MS): (2, 3.0, 1.0, 2.0, 1.0, 2.0, 1.0)}


def test_a_window_that_lost_its_only_sample_is_no_longer_shown(engine: Engine, tenant: str) -> None:
    """A stale marker with the same time takes the sample's place; a window never seen stays so."""
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 1.0)]))
    mark = _mark(tenant, 60, [(1, NOON_MS), (1, NOON_MS + 60_000)])
    _recompute(engine, [mark], version=1)
    assert len(_rollups(engine, tenant, 60)) == 1
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, STALE)]))

    _recompute(engine, [mark], version=2)

    assert _rollups(engine, tenant, 60) == {}
    stored = engine.writer.query(
        "SELECT count() FROM stored_rollups FINAL WHERE tenant = {tenant:String}",
        parameters={"tenant": tenant},
    )
    assert stored.result_rows == [(1,)]


def test_a_changed_retention_doubles_nothing(engine: Engine, tenant: str) -> None:
    """The rows stand in two partitions then; a key is still one row."""
    rows = [(1, NOON_MS, 1.0), (1, NOON_MS + 10_000, 2.0)]
    store_samples(engine, sample_block(tenant, rows))
    _recompute(engine, [_mark(tenant, 60, [(1, NOON_MS)])], version=1)
    rows = [(1, NOON_MS + 10_000, 2.0), (1, NOON_MS + 20_000, 3.0)]
    store_samples(engine, sample_block(tenant, rows, retention_days=RETENTION_DAYS + 1))

    mark = replace(_mark(tenant, 60, [(1, NOON_MS)]), retention_days=RETENTION_DAYS + 1)
    _recompute(engine, [mark], version=2)

    assert read(engine, tenant, "SELECT count() FROM samples") == [(3,)]
    assert _rollups(engine, tenant, 60) == {(1, NOON_MS): (3, 6.0, 1.0, 3.0, 1.0, 3.0, 2.0)}
    assert read(engine, tenant, "SELECT count() FROM rollups") == [(1,)]


def test_tenants_with_one_series_id_are_kept_apart(engine: Engine, tenant: str) -> None:
    """One statement serves several tenants."""
    other = tenant + "'\\"
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 1.0)]))
    store_samples(engine, sample_block(other, [(1, NOON_MS, 5.0)]))

    marks = [_mark(name, 60, [(1, NOON_MS)]) for name in (tenant, other)]
    _recompute(engine, marks, version=1)

    assert _rollups(engine, tenant, 60)[1, NOON_MS][1] == 1.0
    assert _rollups(engine, other, 60)[1, NOON_MS][1] == 5.0

"""Quantiles that the relation computes from stored sketches, and sketches merged by an analyst."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.refold import refold
from pipeline.rows import Rows
from pipeline.sketch import quantiles
from tests.reference import quantile_reference
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, new_tenant, read
from topology.store.client import Engine
from topology.store.guard import check
from topology.store.window_tables import windows_table

LEVELS = np.array([0.5, 0.9, 0.99])
ROOT = Path(__file__).parents[3]
MINUTE = 60_000

values = st.one_of(
    st.floats(allow_nan=False),
    st.floats(-10, 10),
    st.sampled_from([0.0, -0.0, 5e-324, -1e-310, math.inf, -math.inf, math.nan]),
)
windows = st.lists(st.lists(values, min_size=1, max_size=40), min_size=1, max_size=20)

# The 0.99 quantile over all of an hour's windows, as the README has it.
MERGED = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]


def folded(drawn: Sequence[Sequence[float]], *, sketches: bool = True) -> Rows:
    """Return one window of a minute of series 1 for each list."""
    lengths = [len(one) for one in drawn]
    times_ms = np.concatenate(
        [NOON_MS + at * MINUTE + np.arange(n) for at, n in enumerate(lengths)]
    )
    column = np.array([value for one in drawn for value in one])
    return refold(np.ones(len(column), np.uint64), times_ms, column, MINUTE, sketches=sketches)


def store(engine: Engine, tenant: str, rows: Rows) -> None:
    table = windows_table([(tenant, rows)], 60, 1, RETENTION_DAYS)
    engine.writer.insert_arrow("stored_rollups", table)


@settings(max_examples=40)
@given(windows)
def test_the_relations_quantiles_are_those_of_the_pipeline(
    engine: Engine, drawn: list[list[float]]
) -> None:
    """Equal to the last bit but for the exponential; NULL where there is no number to rank."""
    tenant, rows = new_tenant(), folded(drawn)
    store(engine, tenant, rows)
    low, high = (np.ascontiguousarray(rows.rows[name]) for name in ("min", "max"))
    wanted = quantiles(rows.sketch_lengths, rows.sketch, low, high, LEVELS)

    found = read(engine, tenant, "SELECT p50, p90, p99 FROM rollups ORDER BY window_start")

    assert [one[0] is None for one in found] == (rows.sketch_lengths == 0).tolist()
    got = np.array([[math.nan if one is None else one for one in row] for row in found])
    np.testing.assert_allclose(got, wanted, rtol=5e-16, atol=0)


def test_without_sketches_quantiles_are_null(engine: Engine, tenant: str) -> None:
    store(engine, tenant, folded([[1.0, 2.0]], sketches=False))

    found = read(engine, tenant, "SELECT p50, p90, p99, sketch FROM rollups")

    assert [tuple(row) for row in found] == [(None, None, None, [])]


def test_an_analyst_merges_sketches_over_any_range(engine: Engine, tenant: str) -> None:
    """More samples of one value than an entry counts, and a heavy tail: within one percent."""
    rng = np.random.default_rng(3)
    drawn = [
        [7.0] * 20_000,
        *((rng.pareto(1.0, 500) + 1) * rng.choice([-1, 1], 500) for _ in range(9)),
    ]
    store(engine, tenant, folded([list(one) for one in drawn]))
    exact = quantile_reference([value for one in drawn for value in one], 0.99)

    found = read(engine, tenant, check(MERGED))

    assert found == [(1, pytest.approx(exact, rel=0.01))]


@pytest.mark.parametrize(("column", "is_read"), [("max", False), ("p99", True), ("sketch", True)])
def test_who_does_not_ask_for_quantiles_reads_no_sketches(
    engine: Engine, column: str, is_read: bool
) -> None:
    plan = engine.writer.query(
        f"EXPLAIN header = 1 SELECT {column} FROM rollups WHERE width_s = 60"
    )

    assert any("sketch" in line for (line,) in plan.result_rows) is is_read

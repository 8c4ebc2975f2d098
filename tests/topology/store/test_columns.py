"""Tables built by whole arrays, and records that the store could not hold."""

import numpy as np
import pytest

from pipeline.label_columns import check_series
from schemas.errors import InvalidRecord
from schemas.samples import check_storable
from schemas.series import Announcement, series_block
from tests.topology.store.rows import NOON_MS, sample_block
from topology.store.columns import MAX_PARTS, samples_table, series_table, split_by_parts

DAY_MS = 86_400_000


def test_samples_stand_by_tenant_and_series_each_series_as_it_came() -> None:
    """Of several samples with one time the last stays the last."""
    blocks = [
        sample_block("b", [(2, NOON_MS, 1.0), (1, NOON_MS, 2.0)]),
        sample_block("a", [(2, NOON_MS, 3.0)]),
        sample_block("b", [(2, NOON_MS - 1, 4.0), (2, NOON_MS, 5.0)]),
    ]

    table = samples_table(blocks)

    rows = zip(*(table[name].to_pylist() for name in ("tenant", "series_id", "value")), strict=True)
    assert list(rows) == [("a", 2, 3.0), ("b", 1, 2.0), ("b", 2, 1.0), ("b", 2, 4.0), ("b", 2, 5.0)]


def test_labels_are_a_map_without_the_metric() -> None:
    """Also where labels sort before __name__, and where there are none."""
    announced = [
        Announcement(1, {"__name__": "a", "A": "before", "z": "after"}),
        Announcement(2, {"__name__": "ü"}),
        Announcement(3, {"__name__": "c", "z": ""}),
    ]

    table = series_table([series_block("t", NOON_MS, 30, announced)] * 2)

    assert table["metric"].to_pylist() == ["a", "ü", "c"] * 2
    labels = [[("A", "before"), ("z", "after")], [], [("z", "")]]
    assert table["labels"].to_pylist() == labels * 2


@pytest.mark.parametrize("labels", [{"host": "a"}, {}])
def test_a_series_without_a_metric_is_no_record(labels: dict[str, str]) -> None:
    """It would shift the labels of all that follow."""
    named = Announcement(1, {"__name__": "a"})

    with pytest.raises(InvalidRecord, match="no __name__"):
        check_series(series_block("t", NOON_MS, 30, [named, Announcement(2, labels)]))


@pytest.mark.parametrize("time_ms", [-1, 2**32 * 1000, -(2**63), 2**63 - 1])
def test_times_that_the_store_cannot_hold_are_no_record(time_ms: int) -> None:
    """They would land on another day than their own."""
    with pytest.raises(InvalidRecord, match=r"1970\.\.2106"):
        check_storable(sample_block("t", [(1, NOON_MS, 1.0), (1, time_ms, 1.0)]))


def test_a_table_is_split_so_that_no_piece_touches_too_many_parts() -> None:
    """Rows of one day stay together and in their order."""
    rng = np.random.default_rng(7)
    days = rng.integers(0, 250, 2000)
    rows = [(1, NOON_MS + int(day) * DAY_MS, float(n)) for n, day in enumerate(days)]

    pieces = split_by_parts(samples_table([sample_block("t", rows)]), "time")

    assert sum(piece.num_rows for piece in pieces) == 2000
    seen: set[int] = set()
    for piece in pieces:
        piece_days = piece["time"].to_numpy().astype("datetime64[D]").astype(int)
        assert len(set(piece_days)) <= MAX_PARTS
        assert seen.isdisjoint(piece_days)
        seen |= set(piece_days)
        assert (np.diff(piece["value"].to_numpy()) > 0).all()

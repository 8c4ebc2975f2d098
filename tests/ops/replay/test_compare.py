"""Every difference between two tables of rollups is found, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.replay.compare import Comparison


def table(rows: dict[tuple[str, int, int], tuple[float, list[int]]]) -> pa.Table:
    """Return rows by (tenant, series, window) with a sum and a sketch."""
    return pa.table(
        {
            "tenant": pa.array([key[0] for key in rows], pa.string()),
            "width_s": pa.array([60] * len(rows), pa.uint32()),
            "series_id": pa.array([key[1] for key in rows], pa.uint64()),
            "start_s": pa.array([key[2] for key in rows], pa.uint32()),
            "sum": pa.array([value for value, _ in rows.values()], pa.float64()),
            "sketch": pa.array([sketch for _, sketch in rows.values()], pa.list_(pa.uint32())),
        }
    )


def compare(live: pa.Table, replayed: pa.Table, limit: int = 20) -> Comparison:
    comparison = Comparison(limit)
    comparison.add(live, replayed)
    return comparison


keys = st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2**64 - 1]), st.integers(0, 3))
contents = st.tuples(
    st.sampled_from([0.0, -0.0, 1.5]), st.sampled_from([[], [1], [2], [1, 2], [2, 1]])
)
tables = st.dictionaries(keys, contents, max_size=8)


@given(tables, tables)
def test_the_counts_are_those_of_plain_dictionaries(
    live: dict[tuple[str, int, int], tuple[float, list[int]]],
    replayed: dict[tuple[str, int, int], tuple[float, list[int]]],
) -> None:
    """Zeroes of different sign differ."""
    found = compare(table(live), table(replayed))

    both = live.keys() & replayed.keys()
    equal = {key for key in both if repr(live[key]) == repr(replayed[key])}
    assert found.n_equal == len(equal)
    assert found.n_different == len(both) - len(equal)
    assert found.n_only_live == len(live.keys() - both)
    assert found.n_only_replay == len(replayed.keys() - both)
    assert found.is_same() == (0 < len(equal) == len(live.keys() | replayed.keys()))
    assert len(found.differences) == found.n_compared - found.n_equal


def test_a_difference_names_the_row_and_both_values() -> None:
    live = table({("a", 1, 60): (1.0, [3, 4]), ("a", 2, 60): (2.0, [])})
    replayed = table({("a", 1, 60): (1.0, [3, 5]), ("a", 2, 60): (2.0, [])})

    (difference,) = compare(live, replayed).differences

    assert difference.kind == "different"
    assert (difference.key["tenant"], difference.key["series_id"]) == ("a", 1)
    assert difference.columns == {"sketch": ([3, 4], [3, 5])}


def test_payloads_of_nan_are_compared() -> None:
    quiet, other = np.array([0x7FF8000000000000, 0x7FF8000000000001], np.uint64).view(np.float64)

    assert compare(table({("a", 1, 0): (quiet, [])}), table({("a", 1, 0): (quiet, [])})).is_same()
    assert not compare(
        table({("a", 1, 0): (quiet, [])}), table({("a", 1, 0): (other, [])})
    ).is_same()


@pytest.mark.parametrize("limit", [0, 3])
def test_only_so_many_differences_are_kept_and_all_are_counted(limit: int) -> None:
    many = table({("a", number, 0): (1.0, []) for number in range(10)})

    found = compare(many, table({}), limit)

    assert (found.n_only_live, len(found.differences)) == (10, limit)

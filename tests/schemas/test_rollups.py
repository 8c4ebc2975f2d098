"""The record of topic `rollups`."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.rollups import (
    FLOAT_COLUMNS,
    RecomputeBlock,
    RollupBlock,
    decode_rollups,
    encode_rollups,
)
from tests.strategies import times_ms


@given(
    st.integers(0, 10).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.int64, n, elements=times_ms),
            hnp.arrays(np.uint64, n),
            hnp.arrays(np.uint32, n),
            hnp.arrays(np.float64, (6, n)),
        )
    )
)
def test_rows_and_marks_survive_in_their_order(columns) -> None:  # type: ignore[no-untyped-def]
    starts, ids, counts, floats = columns
    rows = RollupBlock("t", 7, 30, 60, starts, ids, counts, *floats)
    mark = RecomputeBlock("t", 7, 30, 60, 3, 2**40, starts, ids)

    got_rows, got_mark = decode_rollups(encode_rollups([rows, mark]))

    assert isinstance(got_rows, RollupBlock)
    assert isinstance(got_mark, RecomputeBlock)
    for name in ("window_starts_ms", "series_ids", "counts", *FLOAT_COLUMNS):
        got, sent = getattr(got_rows, name), getattr(rows, name)
        assert got.tobytes() == sent.tobytes(), name
    assert (got_mark.samples_partition, got_mark.samples_offset) == (3, 2**40)
    np.testing.assert_array_equal(got_mark.window_starts_ms, starts)
    np.testing.assert_array_equal(got_mark.series_ids, ids)

"""The order of rows by series."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ordering import order_by_series

IDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3))


@given(st.lists(IDS, max_size=50))
def test_rows_are_sorted_by_series_and_keep_their_order_within_one(ids: list[int]) -> None:
    order = order_by_series(np.array(ids, dtype=np.uint64))

    assert order.tolist() == sorted(range(len(ids)), key=lambda at: ids[at])

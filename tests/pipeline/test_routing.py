"""Samples by partition."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.routing import split_by_partition
from schemas.topics import partition_of, series_range


@pytest.mark.parametrize("n_partitions", [1, 4, 7, 64])
def test_each_sample_goes_to_its_series_partition_in_the_order_given(n_partitions: int) -> None:
    rng = np.random.default_rng(n_partitions)
    ids = rng.choice(rng.integers(0, 2**64, 50, dtype=np.uint64), 1000)
    times, values = np.arange(1000), rng.random(1000)

    parts = split_by_partition(ids, times, values, n_partitions)

    assert len(parts) == n_partitions
    home = partition_of(ids, n_partitions)
    for partition, (part_ids, part_times, part_values) in enumerate(parts):
        at = np.flatnonzero(home == partition)
        np.testing.assert_array_equal(part_ids, ids[at])
        np.testing.assert_array_equal(part_times, times[at])
        np.testing.assert_array_equal(part_values, values[at])


def test_partitions_are_evenly_filled() -> None:
    ids = np.random.default_rng(0).integers(0, 2**64, 40_000, dtype=np.uint64)

    counts = np.bincount(partition_of(ids, 8), minlength=8)

    assert counts.min() > 4_700
    assert counts.max() < 5_300


def test_the_partition_of_a_series_never_changes() -> None:
    ids = np.array([0, 1 << 62, 1 << 63, 2**64 - 1, 15470866741373871931], dtype=np.uint64)

    assert partition_of(ids, 4).tolist() == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("n_partitions", [1, 2, 3, 7, 16, 1000, 1024])
def test_a_partition_is_one_range_of_series_ids(n_partitions: int) -> None:
    """The ranges touch, cover all ids, and both ends of each are of its partition."""
    ranges = [series_range(partition, n_partitions) for partition in range(n_partitions)]

    assert (ranges[0][0], ranges[-1][1]) == (0, 2**64 - 1)
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(ranges))
    for ends in zip(*ranges, strict=True):
        home = partition_of(np.array(ends, dtype=np.uint64), n_partitions)
        assert home.tolist() == list(range(n_partitions))

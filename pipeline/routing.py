"""Split a batch of samples by partition, arrival order kept."""

from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.topics import partition_of


def split_by_partition(
    series_ids: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    n_partitions: int,
) -> list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]]:
    """Return (series_ids, times_ms, values) of each partition, some of them empty.

    Within a partition samples stand in the order given, as "last arrived wins" needs.
    """
    if n_partitions == 1:
        return [(series_ids, times_ms, values)]
    order, ends = _counting_sort(partition_of(series_ids, n_partitions), n_partitions)
    bounds = [0, *ends.tolist()]
    columns = (series_ids[order], times_ms[order], values[order])
    return [
        (columns[0][start:end], columns[1][start:end], columns[2][start:end])
        for start, end in pairwise(bounds)
    ]


@njit(cache=True)
def _counting_sort(
    keys: NDArray[np.int64], n_keys: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the stable order by key, and where each key's run ends."""
    ends = np.zeros(n_keys, dtype=np.int64)
    for key in keys:
        ends[key] += 1
    ends = np.cumsum(ends)
    at = np.empty(n_keys, dtype=np.int64)
    at[0] = 0
    at[1:] = ends[:-1]
    order = np.empty(len(keys), dtype=np.int64)
    for i in range(len(keys)):
        order[at[keys[i]]] = i
        at[keys[i]] += 1
    return order, ends

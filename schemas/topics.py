"""Names of the topics, and the partition of a series."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Topic(StrEnum):
    """Topics by their names without the deployment's prefix."""

    SAMPLES = "samples"
    SERIES = "series"
    ROLLUPS = "rollups"
    RECOMPUTE = "recompute"
    SCORES = "scores"
    ALERTS = "alerts"
    NOTIFICATIONS = "notifications"
    CONFIG = "config"
    CHECKPOINTS = "checkpoints"
    DEAD_LETTERS = "dead-letters"
    EVENTS = "events"
    EDGES = "edges"


COMPACTED = frozenset({Topic.CONFIG, Topic.CHECKPOINTS})

# Partitioned by series (alerts: by rule group) and read together, so all have one count.
PARTITIONED = frozenset(
    {
        Topic.SAMPLES,
        Topic.SERIES,
        Topic.ROLLUPS,
        Topic.RECOMPUTE,
        Topic.SCORES,
        Topic.ALERTS,
        Topic.CHECKPOINTS,
    }
)

ALL_SERIES = (0, (1 << 64) - 1)


def partition_of(series_ids: NDArray[np.uint64], n_partitions: int) -> NDArray[np.int64]:
    """Return the partition of each series, shape (n,), in 0..n_partitions - 1.

    Multiply-shift over the upper 32 bits (Lemire, 2019): the lower bits index hash tables,
    so that a partition's series do not crowd into a part of each table.
    """
    upper = series_ids >> np.uint64(32)
    return ((upper * np.uint64(n_partitions)) >> np.uint64(32)).astype(np.int64)


def series_range(partition: int, n_partitions: int) -> tuple[int, int]:
    """Return the first and the last series id (inclusive) whose `partition_of` is this one."""
    first, after = (-(-(at << 32) // n_partitions) for at in (partition, partition + 1))
    return first << 32, (after << 32) - 1

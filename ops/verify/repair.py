"""Marks of windows that differ, so that the store computes them again from its samples."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from schemas.rollups import RecomputeBlock, encode_rollups
from schemas.topics import partition_of
from topology.store.coarse import FINER_S, MINUTE_S
from topology.store.verify import Difference
from topology.store.verify_api import Chosen

_MARKS_PER_RECORD = 2_000
_DAY_S = 86_400

# Window width, first and last start, and series id; times in seconds since 1970.
_Stretch = tuple[int, int, int, int]


def records_of(
    windows: Sequence[Difference], chosen: Chosen, closed_ms: int, ends: Sequence[int]
) -> Iterator[tuple[int, bytes]]:
    """Yield partition and content of records of topic recompute.

    Of a window of five minutes or an hour its minutes are marked: it is made of them. closed_ms:
    what ends at or before it is closed. ends: of each partition of topic samples, the offset
    after its last record; the store waits until it has stored all before.
    """
    stretches = sorted({_stretch_of(one) for one in windows})
    ids = np.array([one[3] for one in stretches], dtype=np.uint64)
    partitions = partition_of(ids, len(ends)).tolist()
    places = [
        (partition, one[0], one[1] // _DAY_S, one)
        for partition, one in zip(partitions, stretches, strict=True)
    ]
    places.sort()
    for (partition, width_s, _), alike in groupby(places, key=lambda one: one[:3]):
        marks = [one[3] for one in alike]
        head = (chosen.tenant, closed_ms, chosen.retention_days, width_s, chosen.sample_flags)
        for at in range(0, len(marks), _MARKS_PER_RECORD):
            _, firsts_s, lasts_s, series = zip(*marks[at : at + _MARKS_PER_RECORD], strict=True)
            block = RecomputeBlock(
                *head,
                *(partition, ends[partition] - 1, closed_ms),
                np.array(series, dtype=np.uint64),
                np.array(firsts_s, dtype=np.int64) * 1000,
                np.array(lasts_s, dtype=np.int64) * 1000,
            )
            yield partition, encode_rollups([block])


def _stretch_of(window: Difference) -> _Stretch:
    if window.width_s not in FINER_S:
        return window.width_s, window.start_s, window.start_s, window.series_id
    last_s = window.start_s + window.width_s - MINUTE_S
    return MINUTE_S, window.start_s, last_s, window.series_id

"""Records that can be read but not be stored: they are refused before anything of them is taken."""

import numpy as np

from schemas.errors import InvalidRecord
from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.times import check_times
from topology.store.coarse import FINER_S

_DAY_MS = 86_400_000


def check_mark(mark: RecomputeBlock, partition: int) -> None:
    """Raise InvalidRecord for windows that cannot be, or of another partition's samples."""
    check_times(mark.first_ms)
    check_times(mark.last_ms)
    lengths_ms = mark.last_ms - mark.first_ms
    if (lengths_ms < 0).any() or (lengths_ms >= _DAY_MS).any():
        raise InvalidRecord("a stretch of windows ends before it begins, or is over a day long")
    if not 0 < mark.width_s <= _DAY_MS // 1000:
        raise InvalidRecord(f"windows of {mark.width_s} s")
    width_ms = mark.width_s * 1000
    if (mark.first_ms % width_ms).any() or (mark.last_ms % width_ms).any():
        raise InvalidRecord(f"a window of {mark.width_s} s starts between two of them")
    if mark.samples_partition != partition:
        raise InvalidRecord(f"marks of partition {mark.samples_partition} on {partition}")


def check_close(close: CloseBlock) -> None:
    """Raise InvalidRecord for windows of a width that is not made here, or that cannot be."""
    if close.width_s not in FINER_S:
        raise InvalidRecord(f"a close of windows of {close.width_s} s: known are {list(FINER_S)}")
    check_times(np.array([close.from_ms, close.until_ms]))
    width_ms = close.width_s * 1000
    if close.from_ms % width_ms or close.until_ms % width_ms or close.from_ms > close.until_ms:
        raise InvalidRecord(f"a close of {close.from_ms} to {close.until_ms} ms")
    if close.first_series_id > close.last_series_id:
        raise InvalidRecord(f"a close of series {close.first_series_id} to {close.last_series_id}")

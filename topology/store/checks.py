"""Records that can be read but not be stored: they are refused before anything of them is taken."""

import numpy as np

from schemas.errors import InvalidRecord
from schemas.rollups import CloseBlock, RecomputeBlock, RollupBlock
from schemas.series import METRIC_LABEL, MetricType, SeriesBlock
from schemas.times import LAST_MS, check_times
from topology.store.coarse import FINER_S
from topology.store.columns import labels_of

_DAY_MS = 86_400_000


def check_rollups(block: RollupBlock) -> None:
    """Raise InvalidRecord for windows that the store cannot hold."""
    check_times(block.window_starts_ms)
    if (block.window_starts_ms % 1000).any():
        raise InvalidRecord("a window starts within a second")


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


def check_series(block: SeriesBlock) -> None:
    """Raise InvalidRecord unless each series has one name and a known type."""
    if not 0 <= block.receive_ms <= LAST_MS:
        raise InvalidRecord(f"receive time {block.receive_ms} ms is outside 1970..2106")
    if len(block) and block.types.max() > max(MetricType):
        raise InvalidRecord(f"metric type {block.types.max()}: the last known is {max(MetricType)}")
    _, _, is_metric = labels_of(block)
    owners = np.repeat(np.arange(len(block)), block.label_counts)[is_metric]
    if not np.array_equal(owners, np.arange(len(block))):
        raise InvalidRecord(f"a series has no {METRIC_LABEL}, or several")

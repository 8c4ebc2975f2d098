"""Labels of announced series as Arrow columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.errors import InvalidRecord
from schemas.series import METRIC_LABEL, MetricType, SeriesBlock
from schemas.times import LAST_MS


def labels_of(block: SeriesBlock) -> tuple[pa.StringArray, pa.StringArray, NDArray[np.bool_]]:
    """Return names and values of all labels of the block, and which of them are the metric's."""
    bounds = np.zeros(len(block.lengths) + 1, dtype=np.int32)
    np.cumsum(block.lengths, out=bounds[1:])
    words = pa.StringArray.from_buffers(
        len(block.lengths), pa.py_buffer(bounds), pa.py_buffer(block.text)
    )
    names, values = words.take(_every_second(words, 0)), words.take(_every_second(words, 1))
    is_metric = pc.equal(names, METRIC_LABEL).to_numpy(zero_copy_only=False)
    return names, values, is_metric


def owners_of(block: SeriesBlock) -> NDArray[np.int64]:
    """Return for each label of the block which of its series it belongs to."""
    return np.repeat(np.arange(len(block)), block.label_counts)


def _every_second(words: pa.StringArray, first: int) -> pa.Array:
    return pa.array(np.arange(first, len(words), 2))


def check_series(block: SeriesBlock) -> None:
    """Raise InvalidRecord unless each series has one name and a known type."""
    if not 0 <= block.receive_ms <= LAST_MS:
        raise InvalidRecord(f"receive time {block.receive_ms} ms is outside 1970..2106")
    if len(block) and block.types.max() > max(MetricType):
        raise InvalidRecord(f"metric type {block.types.max()}: the last known is {max(MetricType)}")
    _, _, is_metric = labels_of(block)
    if not np.array_equal(owners_of(block)[is_metric], np.arange(len(block))):
        raise InvalidRecord(f"a series has no {METRIC_LABEL}, or several")

"""Turns scores into the Arrow table that the store takes."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.anomaly.reasons import Reason, words
from schemas.scores import ScoreBlock
from topology.store.columns import SECONDS, of_blocks, retentions_of, tenants_of

_PLAIN = {
    "value": "values",
    "score": "scores",
    "alarm": "alarms",
    "expected": "expected",
    "lower": "lower",
    "upper": "upper",
}


def scores_table(blocks: Sequence[ScoreBlock]) -> pa.Table:
    """Return rows of table stored_scores, in the order given."""
    columns = {
        "tenant": tenants_of(blocks),
        "width_s": of_blocks(blocks, [block.width_s for block in blocks], np.uint32),
        "series_id": np.concatenate([block.series_ids for block in blocks]),
    }
    starts_s = np.concatenate([block.window_starts_ms for block in blocks]) // 1000
    columns["window_start"] = pa.array(starts_s, type=SECONDS)
    for name, attribute in _PLAIN.items():
        columns[name] = np.concatenate([getattr(block, attribute) for block in blocks])
    columns["reason"] = _reasons(blocks, starts_s, columns["value"], columns["expected"])
    columns["retention_days"] = retentions_of(blocks)
    return pa.table(columns)


def anomalous_table(blocks: Sequence[ScoreBlock]) -> pa.Table:
    """Return rows of table stored_anomalous: of windows with a score above 1."""
    few = [block.take(np.flatnonzero(block.scores > 1)) for block in blocks]
    starts_s = np.concatenate([block.window_starts_ms for block in few]) // 1000
    return pa.table(
        {
            "tenant": tenants_of(few),
            "window_start": pa.array(starts_s, type=SECONDS),
            "series_id": np.concatenate([block.series_ids for block in few]),
            "width_s": of_blocks(few, [block.width_s for block in few], np.uint32),
            "score": np.concatenate([block.scores for block in few]),
            "alarm": np.concatenate([block.alarms for block in few]),
            "retention_days": retentions_of(few),
        }
    )


def _reasons(
    blocks: Sequence[ScoreBlock],
    starts_s: NDArray[np.int64],
    values: NDArray[np.float64],
    expected: NDArray[np.float64],
) -> pa.StringArray:
    """Return words for each row; most are normal or learning, and need no Python of their own."""
    codes = np.concatenate([block.reasons for block in blocks])
    learning_s = np.concatenate([block.learning_s for block in blocks])
    texts = np.full(len(codes), "", dtype=object)
    for at in np.flatnonzero(codes > Reason.LEARNING).tolist():
        numbers = (float(values[at]), float(expected[at]), float(starts_s[at]))
        texts[at] = words(int(codes[at]), *numbers)
    minutes = np.ceil(learning_s / 60).astype(np.int64)
    for left in np.unique(minutes[codes == Reason.LEARNING]).tolist():
        texts[(codes == Reason.LEARNING) & (minutes == left)] = f"learning, {_time_left(left)}"
    return pa.array(texts, type=pa.string())


def _time_left(minutes: int) -> str:
    if minutes <= 120:
        return f"{minutes} min left"
    return f"{-(-minutes // 60)} h left"

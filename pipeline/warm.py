"""Compiles every kernel into its cache, so that no start and no test pays for it."""

from typing import Any

import numpy as np

from pipeline.anomaly.scorer import Scorer
from pipeline.coarsen import coarsen
from pipeline.ordering import order_by_series
from pipeline.refold import refold
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from pipeline.sketch import quantiles
from pipeline.stretches import covered, merge, stretches_of
from pipeline.warm_edge import compile_edge
from pipeline.windows import PartitionWindows, WindowConfig
from schemas.rollups import RollupBlock
from schemas.samples import SampleBlock, decode_samples, encode_samples
from schemas.series import METRIC_LABEL, Announcement, series_block


def compile_all() -> None:
    """Call each kernel with the types that the pipeline calls it with."""
    compile_edge()
    ids, row = np.ones(1, dtype=np.uint64), np.zeros(1, dtype=np.int64)
    order_by_series(ids)
    windows = PartitionWindows(WindowConfig())
    for time_ms in (0, 120_000):
        samples = SampleBlock("warm", time_ms, 1, ids, row + time_ms, np.zeros(1))
        windows.feed(decode_samples(encode_samples([samples])))
    PartitionWindows(WindowConfig(), windows.snapshot())
    _compile_rollups()
    _compile_scores()


def _compile_scores() -> None:
    """Judge one window as a file gives it, and one as a record does."""
    scorer = Scorer()
    scorer.grow(1)
    scorer.update(np.zeros(1, np.int64), np.zeros(1), np.zeros(1))
    announced = series_block("warm", 0, 1, [Announcement(1, {METRIC_LABEL: "a"})])
    one = np.ones(1, np.uint32)
    columns: list[Any] = [np.zeros(1, np.int64), one.astype(np.uint64), one]
    columns += [np.zeros(1)] * 6 + [np.zeros(1, np.uint32), one[:0]]
    block = RollupBlock("warm", 0, 1, 60, *columns)
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced)
    scores.feed([block])


def _compile_rollups() -> None:
    """Fold so many values into a window that its sketch outgrows every stage of the arena."""
    n = 1000
    ids, times, values = np.zeros(n, np.uint64), np.arange(n), np.exp(np.arange(n) % 200.0)
    rows = coarsen(refold(ids, times, values, 60_000, sketches=True), 300_000)
    rows.with_empty(ids, times)
    covered(merge(stretches_of(ids, times, times), 60_000), ids, times)
    levels = np.array([0.5])
    quantiles(rows.sketch_lengths, rows.sketch, values[:1], values[-1:], levels)


if __name__ == "__main__":
    compile_all()

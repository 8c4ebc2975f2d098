"""Compiles every kernel into its cache, so that no start and no test pays for it."""

from typing import Any

import numpy as np

from pipeline.admission import Limits
from pipeline.anomaly.scorer import Scorer
from pipeline.coarsen import coarsen
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.influx.lines import decode_lines
from pipeline.key_ids import KeyIds
from pipeline.known_series import KnownSeries
from pipeline.label_cache import LabelCache
from pipeline.ordering import order_by_series
from pipeline.otlp.labels import Naming, SeriesLabels
from pipeline.otlp.walk import decode_export
from pipeline.refold import refold
from pipeline.remote_write import decode_write_request
from pipeline.remote_write_2 import decode_request
from pipeline.routing import split_by_partition
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from pipeline.series_labels import are_plain, lay_out, take
from pipeline.sketch import quantiles
from pipeline.stretches import covered, merge, stretches_of
from pipeline.windows import PartitionWindows, WindowConfig
from schemas.rollups import RollupBlock
from schemas.samples import SampleBlock, decode_samples, encode_samples
from schemas.series import METRIC_LABEL, Announcement, SeriesBlock, series_block

# WriteRequest of one series {__name__="a"} with one sample, 1.0 at 1 ms.
_WRITE_REQUEST = bytes.fromhex("0a1c0a0d0a085f5f6e616d655f5f120161120b09000000000000f03f1001")

# The same as write.v2.Request, with a unit.
_WRITE_REQUEST_2 = bytes.fromhex(
    "220022085f5f6e616d655f5f220161220573746172742a150a020102120b09000000000000f03f10012a022003"
)

# ExportMetricsServiceRequest of one gauge "a" with one point, 1.0 at 1 ms.
_EXPORT = bytes.fromhex("0a1d121b12190a01612a140a121940420f000000000021000000000000f03f")


def compile_all() -> None:
    """Call each kernel with the types that the pipeline calls it with."""
    seed = tenant_hash("warm")
    body = np.frombuffer(_WRITE_REQUEST, dtype=np.uint8)
    request = decode_write_request(body, seed).samples
    decode_write_request(body, seed, LabelCache(10))
    second = decode_request(np.frombuffer(_WRITE_REQUEST_2, dtype=np.uint8), seed)
    order_by_series(request.series_ids)
    limits = Limits(max_labels=1, max_label_bytes=10, max_future_ms=0, retention_ms=0)
    row = np.zeros(1, dtype=np.int64)
    for decoded in (request, second):
        table = decoded.labels_of(row)
        if series_id_of(seed, dict(table.labels(0))) != decoded.series_ids[0]:
            raise AssertionError("the compiled kernels disagree on a series id")
        if not are_plain(table, limits).all():
            raise AssertionError("the compiled kernels refuse a sound series")
        laid_out = lay_out(table, row)
    types = np.zeros(1, dtype=np.uint8)
    take(
        SeriesBlock("warm", 0, 1, request.series_ids, *laid_out, types, [""]), np.zeros(1, np.int64)
    )
    known = KnownSeries(10)
    known.add(request.series_ids, 0)
    known.unknown(request.series_ids, 0)
    split_by_partition(request.series_ids, request.times_ms, request.values, 2)
    windows = PartitionWindows(WindowConfig())
    for time_ms in (0, 120_000):
        ids, times = request.series_ids, np.array([time_ms])
        samples = SampleBlock("warm", time_ms, 1, ids, times, request.values)
        windows.feed(decode_samples(encode_samples([samples])))
    PartitionWindows(WindowConfig(), windows.snapshot())
    _compile_rollups()
    _compile_scores()
    _compile_protocols()


def _compile_protocols() -> None:
    """Decode a body of each; its labels stand where the walk has found them."""
    body = np.frombuffer(_EXPORT, dtype=np.uint8)
    export = decode_export(body, tenant_hash("warm"))
    SeriesLabels(body, export, Naming()).labels_of(0)
    ids = KeyIds(10)
    ids.add(export.rows["key"].copy(), export.rows["key"].copy())
    ids.find(export.rows["key"].copy())
    decode_lines(np.frombuffer(b"m a=1", dtype=np.uint8), tenant_hash("warm"), "ns", 0)


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

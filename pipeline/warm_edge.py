"""Compiles or loads the kernels of an edge, so that no request pays for it."""

import numpy as np

from pipeline.active_series import ActiveSeries
from pipeline.admission import Limits
from pipeline.decoded import Decoded
from pipeline.exposition.decode import ExpositionReader
from pipeline.families import decode_families, families_of
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.influx.decode import InfluxReader
from pipeline.json_ingest import JsonReader
from pipeline.known_series import KnownSeries
from pipeline.label_cache import LabelCache
from pipeline.label_drop import without_label
from pipeline.metric_types import MetricTypes
from pipeline.otlp.decode import OtlpReader
from pipeline.otlp.labels import Naming
from pipeline.remote_write import decode_write_request
from pipeline.remote_write_2 import decode_request
from pipeline.routing import split_by_partition
from pipeline.series_labels import are_plain, lay_out, take
from schemas.series import SeriesBlock

# WriteRequest of one series {__name__="a"} with one sample, 1.0 at 1 ms.
_WRITE_REQUEST = bytes.fromhex("0a1c0a0d0a085f5f6e616d655f5f120161120b09000000000000f03f1001")

# WriteRequest of one series without labels with an empty native histogram.
_NATIVE_HISTOGRAM = bytes.fromhex("0a022200")

# MetricMetadata of a gauge "a".
_METRIC_METADATA = bytes.fromhex("0802120161")

# The same as write.v2.Request, with a unit.
_WRITE_REQUEST_2 = bytes.fromhex(
    "220022085f5f6e616d655f5f220161220573746172742a150a020102120b09000000000000f03f10012a022003"
)

# ExportMetricsServiceRequest of one gauge "a" with one point, 1.0 at 1 ms.
_EXPORT = bytes.fromhex("0a1d121b12190a01612a140a121940420f000000000021000000000000f03f")

_JSON_BODIES = (
    b'[{"name":"a","value":1.5,"timestamp":"2026-01-01T00:00:00Z"}]',
    b'{"name":"a","value":1e300,"timestamp":1767225600.0}',
)


def compile_edge() -> None:
    """Call each kernel with the types that an edge calls it with."""
    seed = tenant_hash("warm")
    body = np.frombuffer(_WRITE_REQUEST, dtype=np.uint8)
    request = decode_write_request(body, seed).samples
    decode_write_request(body, seed, LabelCache(10))
    decode_write_request(np.frombuffer(_NATIVE_HISTOGRAM, dtype=np.uint8), seed)
    second = decode_request(np.frombuffer(_WRITE_REQUEST_2, dtype=np.uint8), seed)
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
    without_label(request.labels_of(row), "a", np.ones(1, dtype=np.bool_))
    active = ActiveSeries(10)
    active.admit("warm", request.series_ids, 0)
    active.note("warm", np.arange(1, 3000, dtype=np.uint64), 0)
    split_by_partition(request.series_ids, request.times_ms, request.values, 2)
    _compile_metadata()
    _compile_protocols()


def _compile_metadata() -> None:
    """Note a family, and so many more that their table grows."""
    body = np.frombuffer(_METRIC_METADATA, dtype=np.uint8)
    told = decode_families(body, np.array([[0, len(body)]]))
    types = MetricTypes(1000)
    for families in (told, families_of((f"m{at}", 1, "s") for at in range(50))):
        types.note("warm", families, 0, 10)
    request = np.frombuffer(_WRITE_REQUEST, dtype=np.uint8)
    metrics = types.of("warm")
    decoded = decode_write_request(request, tenant_hash("warm"), metrics=metrics).samples
    if decoded.metadata is None or decoded.metadata.types.tolist() != told.types.tolist():
        raise AssertionError("the compiled kernels disagree on a metric's name")


def _lay_out(decoded: Decoded) -> None:
    limits = Limits(max_labels=9, max_label_bytes=10, max_future_ms=0, retention_ms=0)
    row = np.zeros(1, dtype=np.int64)
    table = decoded.labels_of(row)
    if not are_plain(table, limits).all():
        raise AssertionError("the compiled kernels refuse a sound series")
    lay_out(table, row)


def _compile_protocols() -> None:
    """Decode a body of each, twice, so that what is remembered is read, too."""
    body = np.frombuffer(_EXPORT, dtype=np.uint8)
    otlp = OtlpReader(10, Naming())
    for _ in range(2):
        _lay_out(otlp.read(body, tenant_hash("warm"), 0, 1).decoded)
    lines = InfluxReader(10)
    for _ in range(2):
        line = np.frombuffer(b"m a=1", dtype=np.uint8)
        _lay_out(lines.read(line, tenant_hash("warm"), "ns", 0).decoded)
    exposition = ExpositionReader(10)
    for _ in range(2):
        line = np.frombuffer(b"# TYPE a counter\na_total 1 1\na_created 1 1\n", dtype=np.uint8)
        for is_open_metrics in (False, True):
            decoded = exposition.read(
                line, tenant_hash("warm"), 0, {}, is_open_metrics=is_open_metrics
            ).decoded
            _lay_out(decoded)
    reader = JsonReader(10, 10)
    for text in _JSON_BODIES * 2:
        limits = Limits(max_labels=1, max_label_bytes=10, max_future_ms=0, retention_ms=0)
        reader.read(np.frombuffer(text, dtype=np.uint8), np.uint64(1), 1_767_225_600_000, limits)

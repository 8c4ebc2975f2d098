"""OTLP metrics: from a body to samples with the ids of their series, and the points it refuses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason
from pipeline.decoded import Decoded, Metadata, table_of
from pipeline.key_ids import KeyIds
from pipeline.new_labels import NewLabels
from pipeline.otlp.labels import Naming, SeriesLabels
from pipeline.otlp.metrics import EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, SUM, SUMMARY
from pipeline.otlp.rows import (
    BAD_SCALE,
    NO_FAULT,
    NO_TEMPORALITY,
    NO_TIME,
    NO_VALUE,
    TOO_MANY_BUCKETS,
    UNMATCHED,
    UNORDERED,
)
from pipeline.otlp.walk import MAX_BUCKETS, Export, decode_export
from pipeline.starts import DELTA_MS
from schemas.samples import STALE_MARKER_BITS
from schemas.series import MetricType

NOT_UTF8 = 255
# What is said of each fault of a point.
FAULTS = {
    NO_TIME: (Reason.BAD_TIMESTAMP, "time_unix_nano is missing"),
    NO_VALUE: (Reason.NOT_A_NUMBER, "neither as_double nor as_int is there"),
    NO_TEMPORALITY: (
        Reason.BAD_SAMPLE,
        "aggregation_temporality is neither delta (1) nor cumulative (2)",
    ),
    UNMATCHED: (Reason.BAD_SAMPLE, "bucket_counts must be one more than explicit_bounds"),
    UNORDERED: (Reason.BAD_SAMPLE, "explicit_bounds do not increase"),
    TOO_MANY_BUCKETS: (Reason.BAD_SAMPLE, f"more than {MAX_BUCKETS} buckets"),
    BAD_SCALE: (Reason.BAD_SAMPLE, "scale is not from -32 to 32"),
    NOT_UTF8: (Reason.BAD_LABELS, "the metric's name, an attribute or the unit is not UTF-8"),
}
_TYPES = np.zeros(1 + max(GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY), dtype=np.uint8)
_TYPES[[GAUGE, SUM]] = MetricType.GAUGE
_TYPES[[HISTOGRAM, EXPONENTIAL_HISTOGRAM]] = MetricType.HISTOGRAM
_TYPES[SUMMARY] = MetricType.SUMMARY
_ODD = np.uint64(0x9E3779B97F4A7C15)
_OF_TARGET = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class PointFault:
    """Why so many points are refused; the message names the metric of the first."""

    reason: Reason
    message: str
    n_points: int


@dataclass(frozen=True, slots=True)
class Points:
    """What a body gives.

    decoded: a series for each sample; no point for a `target_info`. faults: of points refused.
    """

    decoded: Decoded
    faults: list[PointFault]


class OtlpReader:
    """Reads bodies of all tenants; remembers the ids of series, at most max_keys twice over."""

    def __init__(self, max_keys: int, naming: Naming) -> None:
        self._naming = naming
        self._ids = KeyIds(max_keys)

    def n_bytes(self) -> int:
        """Return the memory of what is remembered."""
        return self._ids.n_bytes()

    def read(
        self, body: NDArray[np.uint8], tenant_seed: np.uint64, oldest_ms: int, newest_ms: int
    ) -> Points:
        """Decode a body, a protobuf ExportMetricsServiceRequest. Raises MalformedBody.

        oldest_ms, newest_ms: a resource's `target_info` gets the time of its newest point between.
        """
        export = decode_export(body, tenant_seed, with_scope=self._naming.scope_labels)
        met = _Met(SeriesLabels(body, export, self._naming), tenant_seed)
        rows = export.rows
        keys = np.ascontiguousarray(rows["key"])
        is_sound = rows["fault"] == NO_FAULT
        ids = self._ids.resolve(keys, is_sound, met.id_of, tenant_seed)
        is_in_time = (rows["time_ms"] >= oldest_ms) & (rows["time_ms"] <= newest_ms) & (ids != 0)
        newest_of = _newest(export, is_in_time)
        targets = _targets(export)
        has_target = newest_of >= 0
        target_ids = self._ids.resolve(targets, has_target, met.target_id_of, tenant_seed)
        return _points(export, met, ids, target_ids, newest_of)


class _Met(NewLabels):
    """A body's new series: of row n, and below 0 the target_info of resource -1 - n."""

    def __init__(self, series: SeriesLabels, tenant_seed: np.uint64) -> None:
        self.series = series

        def labels_of(number: int) -> dict[str, str] | None:
            return series.labels_of(number) if number >= 0 else series.target_info_of(-1 - number)

        super().__init__(labels_of, tenant_seed)

    def target_id_of(self, resource: int) -> int:
        """Return the id of a resource's target_info, 0 where it has none."""
        return self.id_of(-1 - resource)


def _newest(export: Export, is_good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the newest time of each resource's good rows, -1 where it has none."""
    if not len(export.resources):
        return np.empty(0, dtype=np.int64)
    times_ms = np.where(is_good, export.rows["time_ms"], -1)
    newest: NDArray[np.int64] = np.maximum.reduceat(times_ms, export.resources["row"])
    return newest


def _targets(export: Export) -> NDArray[np.uint64]:
    """Return the key of each resource's target_info."""
    keys: NDArray[np.uint64] = (export.resources["key"] * _ODD) ^ _OF_TARGET
    return keys | np.uint64(1)


def _points(
    export: Export,
    met: _Met,
    ids: NDArray[np.uint64],
    target_ids: NDArray[np.uint64],
    newest_of: NDArray[np.int64],
) -> Points:
    """Put samples and target_infos together, and leave out what has a fault."""
    targets = np.flatnonzero(target_ids)
    n_targets = len(targets)
    is_good = ids != 0
    rows, values, faults = export.rows, export.values, list[PointFault]()
    good = np.flatnonzero(is_good)
    if len(good) < len(rows):
        faults = _faults(met.series, rows, np.flatnonzero(~is_good))
        rows, values, ids = rows[good], values[good], ids[good]
    metric, metrics = rows["metric"], export.metrics
    type_of = _TYPES[metrics["kind"]]
    type_of[(metrics["kind"] == SUM) & (metrics["is_monotonic"] != 0)] = MetricType.COUNTER
    types = np.concatenate((type_of[metric], np.full(n_targets, MetricType.INFO, dtype=np.uint8)))
    unit_keys = (metrics["unit_key"] + type_of) * _ODD
    all_ids = np.concatenate((ids, target_ids[targets]))
    keys = all_ids.copy()
    keys[: len(rows)] ^= unit_keys[metric]
    of = np.concatenate((good, -1 - targets))
    decoded = Decoded(
        all_ids,
        np.arange(len(all_ids), dtype=np.int32),
        np.concatenate((rows["time_ms"], newest_of[targets])),
        np.concatenate((values, np.ones(n_targets))),
        lambda series: table_of([met.labels(one) for one in of[series].tolist()]),
        np.concatenate((_starts(rows, values), np.zeros(n_targets, np.int64))),
        Metadata(types, keys, lambda one: met.series.unit_of(int(of[one])) if of[one] >= 0 else ""),
        points=np.concatenate((rows["at"], np.full(n_targets, -1))),
    )
    return Points(decoded, faults)


def _starts(rows: NDArray[np.void], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return since when each value counts; a delta since just before, if that is not told of."""
    starts_ms: NDArray[np.int64] = rows["start_ms"].copy()
    is_delta = rows["is_delta"] != 0
    if is_delta.any():
        is_delta &= (values != 0) & (values.view(np.uint64) != STALE_MARKER_BITS)
        starts_ms[is_delta] = rows["time_ms"][is_delta] - DELTA_MS
    return starts_ms


def _faults(
    series: SeriesLabels, rows: NDArray[np.void], refused: NDArray[np.int64]
) -> list[PointFault]:
    """Return the faults of refused rows, by index; rows without one are not UTF-8."""
    faults = rows["fault"][refused]
    faults[faults == NO_FAULT] = NOT_UTF8
    found = []
    for fault in np.unique(faults).tolist():
        of_fault = refused[faults == fault]
        reason, words = FAULTS[fault]
        message = f"{series.name_as_sent(int(of_fault[0]))}: {words}"
        found.append(PointFault(reason, message, len(np.unique(rows["at"][of_fault]))))
    return found

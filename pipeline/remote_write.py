"""Prometheus remote write 1.0: from a WriteRequest's wire bytes to columns, compiled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.decoded import Decoded, LabelTable, Metadata
from pipeline.errors import MalformedBody
from pipeline.hashing import avalanche, label_hash, load_u64, series_id, xxh64
from pipeline.label_cache import NO_CACHE, LabelCache, find_slot
from pipeline.metric_table import metadata_mix, metric_slot, salted_name
from pipeline.metric_types import NO_METRICS, TenantMetrics
from pipeline.remote_write_histograms import histogram_series
from pipeline.remote_write_sample import read_sample
from pipeline.salt import salt_of
from pipeline.wire import BROKEN, BYTES, read_length, read_varint, skip_value
from schemas.series import METRIC_LABEL

# Field number and wire type as they stand in a tag byte.
_TIMESERIES = _LABELS = _NAME = np.uint64(1 << 3 | BYTES)
_SAMPLES = _LABEL_VALUE = np.uint64(2 << 3 | BYTES)
_METADATA = _EXEMPLARS = np.uint64(3 << 3 | BYTES)
_HISTOGRAMS = np.uint64(4 << 3 | BYTES)
_METRIC_LABEL = np.uint64(int.from_bytes(METRIC_LABEL.encode(), "little"))
# Senders tell of some thousand families at once; further ones are passed over.
_MAX_METADATA = 20_000


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A request's samples and its metadata, which its sender mostly sends apart.

    metadata_spans: int64 (n, 2), where each MetricMetadata message stands in the body.
    """

    samples: Decoded
    metadata_spans: NDArray[np.int64]


def decode_write_request(
    body: NDArray[np.uint8],
    tenant_seed: np.uint64,
    cache: LabelCache = NO_CACHE,
    metrics: TenantMetrics = NO_METRICS,
) -> WriteRequest:
    """Decode an uncompressed WriteRequest; tenant_seed as of hashing.tenant_hash.

    Labels are hashed, not checked: `labels_of` gives those of the series that are new.
    cache: ids of labels seen before; filled, so of one thread only. metrics: types and units that
    the tenant's series get.
    Raises MalformedBody where the bytes are no such message.
    """
    n_series, n_samples, n_metadata, n_histograms, n_exemplars = _count(body)
    if n_series < 0:
        raise MalformedBody(f"not a protobuf WriteRequest: broken near byte {n_samples}")
    if len(body) and not n_series and not n_metadata:
        raise MalformedBody(
            "a body without any field of prometheus.WriteRequest: one of version 2.0 is named by "
            "the Content-Type application/x-protobuf;proto=io.prometheus.write.v2.Request"
        )
    series_ids = np.empty(n_series, dtype=np.uint64)
    spans = np.empty((n_series, 2), dtype=np.int64)
    sample_series = np.empty(n_samples, dtype=np.int32)
    times_ms = np.empty(n_samples, dtype=np.int64)
    values = np.empty(n_samples, dtype=np.float64)
    metadata_spans = np.empty((min(n_metadata, _MAX_METADATA), 2), dtype=np.int64)
    slots, units = metrics.slots, metrics.units
    n_typed = n_series if len(slots) else 0
    types = np.zeros(n_typed, dtype=np.uint8)
    keys, unit_keys = np.zeros((2, n_typed), dtype=np.uint64)
    broken_at, n_added = _fill(
        body,
        tenant_seed,
        salt_of(int(tenant_seed)),
        cache.slots,
        series_ids,
        spans,
        sample_series,
        times_ms,
        values.view(np.uint64),
        metadata_spans,
        slots,
        types,
        keys,
        unit_keys,
    )
    cache.grow(n_added)
    if broken_at >= 0:
        raise MalformedBody(f"not a protobuf WriteRequest: broken near byte {broken_at}")
    samples = Decoded(
        series_ids,
        sample_series,
        times_ms,
        values,
        lambda chosen: LabelTable(body, *_label_bounds(body, spans[chosen])),
        metadata=Metadata(types, keys, lambda one: units.get(int(unit_keys[one]), ""))
        if n_typed
        else None,
        n_histograms=n_histograms,
        n_exemplars=n_exemplars,
        histogram_series=histogram_series(body, spans, _HISTOGRAMS, n_histograms),
    )
    return WriteRequest(samples, metadata_spans)


@njit(cache=True, nogil=True)
def _count(body: NDArray[np.uint8]) -> tuple[int, int, int, int, int]:
    """Count series, samples, metadata, histograms and exemplars; -1 and where it breaks."""
    n_series, n_samples, n_metadata, n_histograms, n_exemplars = 0, 0, 0, 0, 0
    at, end = 0, len(body)
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return -1, start, 0, 0, 0
        if tag != _TIMESERIES:
            n_metadata += tag == _METADATA
            at = skip_value(body, at, end, tag)
            if at < 0:
                return -1, start, 0, 0, 0
            continue
        inner, at = read_length(body, at, end)
        if at < 0:
            return -1, start, 0, 0, 0
        n_series += 1
        while inner < at:
            start = inner
            tag, inner = read_varint(body, inner, at)
            if inner >= 0:
                inner = skip_value(body, inner, at, tag)
            if inner < 0:
                return -1, start, 0, 0, 0
            n_samples += tag == _SAMPLES
            n_histograms += tag == _HISTOGRAMS
            n_exemplars += tag == _EXEMPLARS
    return n_series, n_samples, n_metadata, n_histograms, n_exemplars


@njit(cache=True, nogil=True)
def _fill(
    body: NDArray[np.uint8],
    tenant_seed: np.uint64,
    salt: np.uint64,
    cached: NDArray[np.uint64],
    series_ids: NDArray[np.uint64],
    spans: NDArray[np.int64],
    sample_series: NDArray[np.int32],
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    metadata_spans: NDArray[np.int64],
    metrics: Any,
    types: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    unit_keys: NDArray[np.uint64],
) -> tuple[int, int]:
    """Fill the columns; return the position of the first broken byte or -1, and ids added."""
    series, sample, metadata, n_added = 0, 0, 0, 0
    starts_ms = np.empty(0, dtype=np.int64)
    at, end = 0, len(body)
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag == _METADATA:
            start, at = read_length(body, at, end)
            if metadata < len(metadata_spans):
                metadata_spans[metadata, 0], metadata_spans[metadata, 1] = start, at
                metadata += 1
            continue
        if tag != _TIMESERIES:
            at = skip_value(body, at, end, tag)
            continue
        inner, at = read_length(body, at, end)
        spans[series, 0], spans[series, 1] = inner, at
        text_end = _end_of_labels(body, inner, at)
        key, slot, is_cached = np.uint64(0), 0, False
        if len(cached) and text_end >= 0:
            # Never 0, which marks an empty slot.
            key = avalanche(xxh64(body, inner, text_end) ^ salt) | np.uint64(1)
            slot = find_slot(cached, key)
            is_cached = cached[slot, 0] == key
        if is_cached:
            series_ids[series] = cached[slot, 1]
            inner = text_end
        labels_hash = tenant_seed
        while inner < at:
            tag, inner = read_varint(body, inner, at)
            if tag == _LABELS:
                start, inner = read_length(body, inner, at)
                name_start, name_end, value_start, value_end = _read_label(body, start, inner)
                if name_start < 0:
                    return int(start), n_added
                # An empty value means "no such label", so it does not count.
                if value_start < value_end:
                    labels_hash += label_hash(
                        xxh64(body, name_start, name_end), xxh64(body, value_start, value_end)
                    )
            elif tag == _SAMPLES:
                start, inner = read_length(body, inner, at)
                broken_at = read_sample(body, start, inner, times_ms, value_bits, starts_ms, sample)
                if broken_at >= 0:
                    return broken_at, n_added
                sample_series[sample] = series
                sample += 1
            else:
                inner = skip_value(body, inner, at, tag)
        if not is_cached:
            series_ids[series] = series_id(labels_hash)
            if key != np.uint64(0):
                n_added += cached[slot, 0] == np.uint64(0)
                cached[slot, 0], cached[slot, 1] = key, series_ids[series]
                cached[slot, 2] = _metric_name(body, spans[series, 0], at, salt)
        if len(keys) > 0:
            keys[series] = series_ids[series]
            if key != np.uint64(0):
                name = cached[slot, 2]
            else:
                name = _metric_name(body, spans[series, 0], at, salt)
            one = metrics[metric_slot(metrics, name)]
            if one.name == name:
                types[series], unit_keys[series] = one.type, one.unit_key
                keys[series] ^= metadata_mix(one.unit_key, one.type)
        series += 1
    return -1, n_added


@njit(inline="always")
def _metric_name(body: NDArray[np.uint8], at: int, end: int, salt: np.uint64) -> np.uint64:
    """Return the salted hash of the metric's name in a sound TimeSeries; of "" for none."""
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag != _LABELS:
            at = skip_value(body, at, end, tag)
            continue
        start, at = read_length(body, at, end)
        name_start, name_end, value_start, value_end = _read_label(body, start, at)
        if name_end - name_start == 8 and load_u64(body, name_start) == _METRIC_LABEL:
            return salted_name(body, value_start, value_end, salt)
    return salted_name(body, end, end, salt)


@njit(inline="always")
def _end_of_labels(body: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position after the labels of a TimeSeries, BROKEN if they are not all in front.

    The message has been walked before, so its fields are sound; what is in them may not be.
    """
    labels_end, is_in_front = at, True
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag == _LABELS and not is_in_front:
            return BROKEN
        is_in_front = tag == _LABELS
        at = skip_value(body, at, end, tag)
        if is_in_front:
            labels_end = at
    return labels_end


@njit(inline="always")
def _read_label(body: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, int, int]:
    """Return the bounds of a Label's name and value, empty where absent; -1 first if broken."""
    name_start, name_end, value_start, value_end = at, at, at, at
    while at < end:
        tag, at = read_varint(body, at, end)
        if at < 0:
            return -1, 0, 0, 0
        if tag == _NAME:
            name_start, name_end = read_length(body, at, end)
            at = name_end
        elif tag == _LABEL_VALUE:
            value_start, value_end = read_length(body, at, end)
            at = value_end
        else:
            at = skip_value(body, at, end, tag)
        if at < 0:
            return -1, 0, 0, 0
    return name_start, name_end, value_start, value_end


@njit(cache=True)
def _label_bounds(
    body: NDArray[np.uint8], spans: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ends and bounds, as of LabelTable, of messages that have been decoded before."""
    ends = np.empty(len(spans), dtype=np.int64)
    bounds = np.empty((16 * len(spans), 4), dtype=np.int64)
    n = 0
    for row in range(len(spans)):
        at, end = spans[row]
        while at < end:
            tag, at = read_varint(body, at, end)
            if tag != _LABELS:
                at = skip_value(body, at, end, tag)
                continue
            start, at = read_length(body, at, end)
            if n == len(bounds):
                bounds = np.concatenate((bounds, np.empty_like(bounds)))
            bounds[n, 0], bounds[n, 1], bounds[n, 2], bounds[n, 3] = _read_label(body, start, at)
            n += 1
        ends[row] = n
    return ends, bounds[:n]

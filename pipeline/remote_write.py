"""Prometheus remote write 1.0: from a WriteRequest's wire bytes to columns, compiled."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.errors import MalformedBody
from pipeline.hashing import avalanche, label_hash, load_u64, series_id, xxh64
from pipeline.label_cache import NO_CACHE, LabelCache, find_slot
from pipeline.wire import BROKEN, BYTES, FIXED_64, VARINT, read_length, read_varint, skip_value

# Field number and wire type as they stand in a tag byte.
_TIMESERIES = _LABELS = _NAME = np.uint64(1 << 3 | BYTES)
_SAMPLES = _LABEL_VALUE = np.uint64(2 << 3 | BYTES)
_HISTOGRAMS = np.uint64(4 << 3 | BYTES)
_VALUE = np.uint64(1 << 3 | FIXED_64)
_TIMESTAMP = np.uint64(2 << 3 | VARINT)


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """The columns of a request of n_series series and n samples.

    series_ids: uint64 (n_series,). spans: int64 (n_series, 2), where each TimeSeries message
    stands in the body. sample_series: int32 (n,), index of each sample's series. times_ms:
    int64 (n,). values: float64 (n,), NaN payloads kept. n_histograms: native histograms seen.
    """

    series_ids: NDArray[np.uint64]
    spans: NDArray[np.int64]
    sample_series: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    n_histograms: int


def decode_write_request(
    body: NDArray[np.uint8], tenant_seed: np.uint64, cache: LabelCache = NO_CACHE
) -> WriteRequest:
    """Decode an uncompressed WriteRequest; tenant_seed as of hashing.tenant_hash.

    Labels are hashed, not checked: `labels_of` reads those of the series that are new.
    cache: ids of labels seen before; filled, so of one thread only.
    Raises MalformedBody where the bytes are no such message.
    """
    n_series, n_samples, n_histograms = _count(body)
    if n_series < 0:
        raise MalformedBody(f"not a protobuf WriteRequest: broken near byte {n_samples}")
    request = WriteRequest(
        np.empty(n_series, dtype=np.uint64),
        np.empty((n_series, 2), dtype=np.int64),
        np.empty(n_samples, dtype=np.int32),
        np.empty(n_samples, dtype=np.int64),
        np.empty(n_samples, dtype=np.float64),
        n_histograms,
    )
    broken_at, n_added = _fill(
        body,
        tenant_seed,
        cache.slots,
        request.series_ids,
        request.spans,
        request.sample_series,
        request.times_ms,
        request.values.view(np.uint64),
    )
    cache.grow(n_added)
    if broken_at >= 0:
        raise MalformedBody(f"not a protobuf WriteRequest: broken near byte {broken_at}")
    return request


def labels_of(body: NDArray[np.uint8], span: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Return (name, value) of each label with a value of one TimeSeries message, in the order sent.

    Raises UnicodeDecodeError for what is not UTF-8.
    """
    bounds = label_bounds(body, span[0], span[1])
    text = body[span[0] : span[1]].tobytes()
    return [
        (text[a:b].decode(), text[c:d].decode())
        for a, b, c, d in (bounds - span[0]).tolist()
        if c < d
    ]


@njit(cache=True, nogil=True)
def _count(body: NDArray[np.uint8]) -> tuple[int, int, int]:
    n_series, n_samples, n_histograms = 0, 0, 0
    at, end = 0, len(body)
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return -1, start, 0
        if tag != _TIMESERIES:
            at = skip_value(body, at, end, tag)
            if at < 0:
                return -1, start, 0
            continue
        inner, at = read_length(body, at, end)
        if at < 0:
            return -1, start, 0
        n_series += 1
        while inner < at:
            start = inner
            tag, inner = read_varint(body, inner, at)
            if inner >= 0:
                inner = skip_value(body, inner, at, tag)
            if inner < 0:
                return -1, start, 0
            n_samples += tag == _SAMPLES
            n_histograms += tag == _HISTOGRAMS
    return n_series, n_samples, n_histograms


@njit(cache=True, nogil=True)
def _fill(
    body: NDArray[np.uint8],
    tenant_seed: np.uint64,
    cached: NDArray[np.uint64],
    series_ids: NDArray[np.uint64],
    spans: NDArray[np.int64],
    sample_series: NDArray[np.int32],
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
) -> tuple[int, int]:
    """Fill the columns; return the position of the first broken byte or -1, and ids added."""
    series, sample, n_added = 0, 0, 0
    at, end = 0, len(body)
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag != _TIMESERIES:
            at = skip_value(body, at, end, tag)
            continue
        inner, at = read_length(body, at, end)
        spans[series, 0], spans[series, 1] = inner, at
        text_end = _end_of_labels(body, inner, at)
        key, slot, is_cached = np.uint64(0), 0, False
        if len(cached) and text_end >= 0:
            # Never 0, which marks an empty slot.
            key = avalanche(xxh64(body, inner, text_end) + tenant_seed) | np.uint64(1)
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
                broken_at = _read_sample(body, start, inner, times_ms, value_bits, sample)
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
        series += 1
    return -1, n_added


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


@njit(inline="always")
def _read_sample(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    sample: int,
) -> int:
    """Fill in one Sample; return -1, or the position of the first broken byte."""
    times_ms[sample] = 0
    value_bits[sample] = 0
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return start
        if tag == _VALUE and at + 8 <= end:
            value_bits[sample] = load_u64(body, at)
            at += 8
        elif tag == _TIMESTAMP:
            time, at = read_varint(body, at, end)
            times_ms[sample] = np.int64(time)
        else:
            at = skip_value(body, at, end, tag)
        if at < 0:
            return start
    return -1


@njit(cache=True)
def label_bounds(body: NDArray[np.uint8], at: int, end: int) -> NDArray[np.int64]:
    """Return (name start, name end, value start, value end) of each label, int64 (n, 4).

    The message has been decoded before, so it is sound.
    """
    bounds = np.empty((16, 4), dtype=np.int64)
    n = 0
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag == _LABELS:
            start, at = read_length(body, at, end)
            if n == len(bounds):
                bounds = np.concatenate((bounds, np.empty_like(bounds)))
            bounds[n, 0], bounds[n, 1], bounds[n, 2], bounds[n, 3] = _read_label(body, start, at)
            n += 1
        else:
            at = skip_value(body, at, end, tag)
    return bounds[:n]

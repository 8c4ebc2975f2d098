"""Prometheus remote write 2.0: from a Request's wire bytes to columns, compiled.

Labels are references into a table of symbols, so each symbol is hashed once a request.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.decoded import NOWHERE, Decoded, LabelTable, Metadata
from pipeline.errors import MalformedBody
from pipeline.hashing import label_hash, series_id, xxh64
from pipeline.metric_table import metadata_mix
from pipeline.remote_write_histograms import histogram_series
from pipeline.remote_write_sample import read_sample
from pipeline.wire import BYTES, VARINT, read_length, read_varint, skip_value
from schemas.series import MetricType

# Field number and wire type as they stand in a tag byte.
_SYMBOLS = np.uint64(4 << 3 | BYTES)
_TIMESERIES = np.uint64(5 << 3 | BYTES)
# References of labels come packed, or each by itself.
_LABELS, _LABEL = np.uint64(1 << 3 | BYTES), np.uint64(1 << 3 | VARINT)
_SAMPLES = np.uint64(2 << 3 | BYTES)
_HISTOGRAMS = np.uint64(3 << 3 | BYTES)
_EXEMPLARS = np.uint64(4 << 3 | BYTES)
_METADATA = np.uint64(5 << 3 | BYTES)
# Of the first release candidates, before each sample had a start timestamp of its own.
_CREATED = np.uint64(6 << 3 | VARINT)
_TYPE = np.uint64(1 << 3 | VARINT)
_UNIT = np.uint64(4 << 3 | VARINT)

_MAX_UNIT_BYTES = 256
_MAX_TYPE = np.uint64(max(MetricType))


def decode_request(body: NDArray[np.uint8], tenant_seed: np.uint64) -> Decoded:
    """Decode an uncompressed io.prometheus.write.v2.Request; tenant_seed as of tenant_hash.

    Raises MalformedBody where the bytes are no such message.
    """
    n_symbols, n_series, n_samples, n_histograms, n_exemplars = _count(body)
    if n_symbols < 0:
        raise MalformedBody(f"not a protobuf write.v2.Request: broken near byte {n_series}")
    if len(body) and not n_symbols and not n_series:
        raise MalformedBody(
            "a body without any field of io.prometheus.write.v2.Request: one of version 1.0 is "
            "named by the Content-Type application/x-protobuf;proto=prometheus.WriteRequest"
        )
    symbols = np.empty((n_symbols, 2), dtype=np.int64)
    hashes = np.empty(n_symbols, dtype=np.uint64)
    _fill_symbols(body, symbols, hashes)
    if n_series and (not n_symbols or symbols[0, 0] != symbols[0, 1]):
        raise MalformedBody("symbols of write.v2.Request: the first must be the empty string")
    series_ids = np.empty(n_series, dtype=np.uint64)
    keys = np.empty(n_series, dtype=np.uint64)
    types = np.empty(n_series, dtype=np.uint8)
    units = np.empty(n_series, dtype=np.int64)
    spans = np.empty((n_series, 2), dtype=np.int64)
    sample_series = np.empty(n_samples, dtype=np.int32)
    times_ms = np.empty(n_samples, dtype=np.int64)
    values = np.empty(n_samples, dtype=np.float64)
    starts_ms = np.empty(n_samples, dtype=np.int64)
    broken_at = _fill(
        body,
        tenant_seed,
        symbols,
        hashes,
        series_ids,
        keys,
        types,
        units,
        spans,
        sample_series,
        times_ms,
        values.view(np.uint64),
        starts_ms,
    )
    if broken_at >= 0:
        raise MalformedBody(f"not a protobuf write.v2.Request: broken near byte {broken_at}")

    def labels_of(chosen: NDArray[np.int64]) -> LabelTable:
        return LabelTable(body, *_label_bounds(body, symbols, spans[chosen]))

    def unit_of(series: int) -> str:
        start, end = symbols[units[series]]
        return "" if start == end else body[start:end].tobytes().decode(errors="replace")

    return Decoded(
        series_ids,
        sample_series,
        times_ms,
        values,
        labels_of,
        starts_ms if starts_ms.any() else np.empty(0, dtype=np.int64),
        Metadata(types, keys, unit_of),
        n_histograms,
        n_exemplars,
        histogram_series=histogram_series(body, spans, _HISTOGRAMS, n_histograms),
    )


@njit(cache=True, nogil=True)
def _count(body: NDArray[np.uint8]) -> tuple[int, int, int, int, int]:
    """Count symbols, series, samples, histograms and exemplars; -1 and where it breaks."""
    n_symbols, n_series, n_samples, n_histograms, n_exemplars = 0, 0, 0, 0, 0
    at, end = 0, len(body)
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return -1, start, 0, 0, 0
        if tag != _TIMESERIES:
            n_symbols += tag == _SYMBOLS
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
    return n_symbols, n_series, n_samples, n_histograms, n_exemplars


@njit(cache=True, nogil=True)
def _fill_symbols(
    body: NDArray[np.uint8], symbols: NDArray[np.int64], hashes: NDArray[np.uint64]
) -> None:
    """Fill in where each symbol stands, and its hash; the body has been walked before."""
    n, at, end = 0, 0, len(body)
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag != _SYMBOLS:
            at = skip_value(body, at, end, tag)
            continue
        start, at = read_length(body, at, end)
        symbols[n, 0], symbols[n, 1] = start, at
        hashes[n] = xxh64(body, start, at)
        n += 1


@njit(cache=True, nogil=True)
def _fill(
    body: NDArray[np.uint8],
    tenant_seed: np.uint64,
    symbols: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    series_ids: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    types: NDArray[np.uint8],
    units: NDArray[np.int64],
    spans: NDArray[np.int64],
    sample_series: NDArray[np.int32],
    times_ms: NDArray[np.int64],
    value_bits: NDArray[np.uint64],
    starts_ms: NDArray[np.int64],
) -> int:
    """Fill the columns; return the position of the first broken byte or -1."""
    n_symbols = np.uint64(len(symbols))
    series, sample = 0, 0
    at, end = 0, len(body)
    while at < end:
        tag, at = read_varint(body, at, end)
        if tag != _TIMESERIES:
            at = skip_value(body, at, end, tag)
            continue
        inner, at = read_length(body, at, end)
        spans[series, 0], spans[series, 1] = inner, at
        types[series], units[series] = 0, 0
        first_sample, created_ms = sample, np.int64(0)
        labels_hash, name, has_name, is_broken = tenant_seed, np.int64(0), False, False
        while inner < at:
            start = inner
            tag, inner = read_varint(body, inner, at)
            if tag in (_LABELS, _LABEL):
                until = inner
                if tag == _LABELS:
                    inner, until = read_length(body, inner, at)
                else:
                    until = skip_value(body, inner, at, tag)
                while inner < until:
                    reference, inner = read_varint(body, inner, until)
                    if inner < 0:
                        return int(start)
                    if reference >= n_symbols:
                        is_broken = True
                    elif has_name:
                        # An empty value means "no such label", so it does not count.
                        if symbols[reference, 0] < symbols[reference, 1]:
                            labels_hash += label_hash(hashes[name], hashes[reference])
                    else:
                        name = np.int64(reference)
                    has_name = not has_name
            elif tag == _SAMPLES:
                start, inner = read_length(body, inner, at)
                broken_at = read_sample(body, start, inner, times_ms, value_bits, starts_ms, sample)
                if broken_at >= 0:
                    return broken_at
                sample_series[sample] = series
                sample += 1
            elif tag == _METADATA:
                start, inner = read_length(body, inner, at)
                broken_at = _read_metadata(body, start, inner, n_symbols, types, units, series)
                if broken_at >= 0:
                    return broken_at
            elif tag == _CREATED:
                time, inner = read_varint(body, inner, at)
                created_ms = np.int64(time)
            else:
                inner = skip_value(body, inner, at, tag)
        for one in range(first_sample, sample):
            if starts_ms[one] == 0:
                starts_ms[one] = created_ms
        # 0 is no id: such a series is looked at again each time, and refused in words.
        series_ids[series] = series_id(labels_hash)
        if is_broken or has_name:
            series_ids[series] = np.uint64(0)
        unit = units[series]
        start, until = symbols[unit]
        if until - start > _MAX_UNIT_BYTES:
            units[series] = 0
        keys[series] = series_ids[series]
        if types[series] > 0 or units[series] > 0:
            keys[series] ^= metadata_mix(hashes[units[series]], types[series])
        series += 1
    return -1


@njit(inline="always")
def _read_metadata(
    body: NDArray[np.uint8],
    at: int,
    end: int,
    n_symbols: np.uint64,
    types: NDArray[np.uint8],
    units: NDArray[np.int64],
    series: int,
) -> int:
    """Fill in type and unit of a series; return -1, or the position of the first broken byte."""
    while at < end:
        start = at
        tag, at = read_varint(body, at, end)
        if at < 0:
            return start
        if tag == _TYPE:
            number, at = read_varint(body, at, end)
            types[series] = number if number <= _MAX_TYPE else np.uint64(0)
        elif tag == _UNIT:
            number, at = read_varint(body, at, end)
            units[series] = number if number < n_symbols else np.uint64(0)
        else:
            at = skip_value(body, at, end, tag)
        if at < 0:
            return start
    return -1


@njit(cache=True)
def _label_bounds(
    body: NDArray[np.uint8], symbols: NDArray[np.int64], spans: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ends and bounds, as of LabelTable, of the TimeSeries messages at spans."""
    n_symbols = np.uint64(len(symbols))
    ends = np.empty(len(spans), dtype=np.int64)
    bounds = np.empty((16 * len(spans), 4), dtype=np.int64)
    n = 0
    for row in range(len(spans)):
        at, end = spans[row]
        has_name = False
        while at < end:
            tag, at = read_varint(body, at, end)
            if tag == _LABELS:
                at, until = read_length(body, at, end)
            else:
                until = skip_value(body, at, end, tag)
                if tag != _LABEL:
                    at = until
            while at < until:
                reference, at = read_varint(body, at, until)
                if n == len(bounds):
                    bounds = np.concatenate((bounds, np.empty_like(bounds)))
                column = 2 if has_name else 0
                bounds[n, column], bounds[n, column + 1] = NOWHERE, NOWHERE
                if reference < n_symbols:
                    bounds[n, column] = symbols[reference, 0]
                    bounds[n, column + 1] = symbols[reference, 1]
                n += has_name
                has_name = not has_name
        if has_name:
            bounds[n, 2], bounds[n, 3] = NOWHERE, NOWHERE
            n += 1
        ends[row] = n
    return ends, bounds[:n]

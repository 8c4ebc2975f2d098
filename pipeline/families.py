"""Families of metrics as remote write 1.0 tells of them, apart from samples: type and unit.

A MetricMetadata message names a family (`http_requests`), the samples its series
(`http_requests_total`): OpenMetrics specification, "MetricFamily" and "Suffixes" of each type.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import xxh64
from pipeline.wire import BYTES, VARINT, next_field, varint_at
from schemas.series import MetricType

MAX_NAME_BYTES = 1024
MAX_UNIT_BYTES = 256

# What a family's series are called beside its own name.
SUFFIXES: dict[MetricType, tuple[str, ...]] = {
    MetricType.COUNTER: ("_total", "_created"),
    MetricType.HISTOGRAM: ("_bucket", "_sum", "_count", "_created"),
    MetricType.GAUGEHISTOGRAM: ("_bucket", "_gsum", "_gcount"),
    MetricType.SUMMARY: ("_sum", "_count", "_created"),
    MetricType.INFO: ("_info",),
}
# A text format without suffixes names these families by their only series, suffix and all.
WHOLE_BY_SUFFIX = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}

_TYPE = np.uint64(1 << 3 | VARINT)
_NAME = np.uint64(2 << 3 | BYTES)
_UNIT = np.uint64(5 << 3 | BYTES)
_MAX_TYPE = np.uint64(max(MetricType))
_ZERO = np.uint64(0)

Told = tuple[str, int, str]  # name, MetricType, unit


@dataclass(frozen=True, slots=True)
class Families:
    """n families of a tenant. Those of which neither type nor unit is known are left out.

    text: uint8 (m,). bounds: int64 (n, 4), start and end of the name, of the unit.
    types: uint8 (n,) of MetricType. unit_keys: uint64 (n,), XXH64 of the unit, of "" for none.
    """

    text: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    types: NDArray[np.uint8]
    unit_keys: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.types)

    def unit(self, row: int) -> str:
        """Return the unit of a family, "" for none."""
        return self._text(row, 2).decode(errors="replace")

    def told(self, rows: Iterable[int]) -> list[Told]:
        """Return families as others are told of them; a name that is no UTF-8 has no series."""
        found = []
        for row in rows:
            try:
                name = self._text(row, 0).decode()
            except UnicodeDecodeError:
                continue
            found.append((name, int(self.types[row]), self.unit(row)))
        return found

    def _text(self, row: int, column: int) -> bytes:
        start, end = self.bounds[row, column : column + 2]
        return self.text[start:end].tobytes()


def decode_families(body: NDArray[np.uint8], spans: NDArray[np.int64]) -> Families:
    """Decode MetricMetadata messages, at spans (n, 2) of the body; broken ones are passed over."""
    bounds = np.empty((len(spans), 4), dtype=np.int64)
    types = np.empty(len(spans), dtype=np.uint8)
    unit_keys = np.empty(len(spans), dtype=np.uint64)
    n = _decode(body, spans, bounds, types, unit_keys)
    return Families(body, bounds[:n], types[:n], unit_keys[:n])


def families_of(told: Iterable[Told]) -> Families:
    """Return families that another edge has told of, but those that are none."""
    texts, types = list[bytes](), list[int]()
    for name, kind, unit in told:
        pair = name.encode(), unit.encode()
        known = kind if 0 <= kind <= max(MetricType) else MetricType.UNKNOWN
        is_sound = 0 < len(pair[0]) <= MAX_NAME_BYTES and len(pair[1]) <= MAX_UNIT_BYTES
        if is_sound and (known or unit):
            texts += pair
            types.append(known)
    ends = np.cumsum([len(one) for one in texts], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, dtype=np.int64), ends))[: len(ends)]
    bounds = np.stack((starts, ends), axis=1).reshape(-1, 4)
    text = np.frombuffer(b"".join(texts), dtype=np.uint8)
    return Families(text, bounds, np.array(types, dtype=np.uint8), _hash_units(text, bounds))


@njit(cache=True, nogil=True)
def _decode(
    body: NDArray[np.uint8],
    spans: NDArray[np.int64],
    bounds: NDArray[np.int64],
    types: NDArray[np.uint8],
    unit_keys: NDArray[np.uint64],
) -> int:
    """Fill the columns; return how many families there are."""
    n = 0
    for row in range(len(spans)):
        at, end = spans[row]
        kind = _ZERO
        bounds[n, :] = at
        while 0 <= at < end:
            tag, start, at = next_field(body, at, end)
            if at < 0:
                break
            if tag == _TYPE:
                # An enum is an int32: the upper half of a longer number does not count.
                kind = varint_at(body, start, at) & np.uint64(0xFFFFFFFF)
            elif tag == _NAME:
                bounds[n, 0], bounds[n, 1] = start, at
            elif tag == _UNIT:
                bounds[n, 2], bounds[n, 3] = start, at
        name_bytes = bounds[n, 1] - bounds[n, 0]
        if at < 0 or name_bytes == 0 or name_bytes > MAX_NAME_BYTES:
            continue
        if bounds[n, 3] - bounds[n, 2] > MAX_UNIT_BYTES:
            bounds[n, 3] = bounds[n, 2]
        types[n] = kind if kind <= _MAX_TYPE else _ZERO
        unit_keys[n] = xxh64(body, bounds[n, 2], bounds[n, 3])
        n += types[n] > 0 or bounds[n, 2] < bounds[n, 3]
    return n


@njit(cache=True)
def _hash_units(text: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    keys = np.empty(len(bounds), dtype=np.uint64)
    for row in range(len(bounds)):
        keys[row] = xxh64(text, bounds[row, 2], bounds[row, 3])
    return keys

"""Record of topic `series`: which labels stand behind a series id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.block import BlockReader, Header, Kind, pack_plain, read_blocks, write_block
from schemas.errors import InvalidRecord

METRIC_LABEL = "__name__"


class MetricType(IntEnum):
    """Types as remote write 2.0 numbers them."""

    UNKNOWN = 0
    COUNTER = 1
    GAUGE = 2
    HISTOGRAM = 3
    GAUGEHISTOGRAM = 4
    SUMMARY = 5
    INFO = 6
    STATESET = 7


@dataclass(frozen=True, slots=True)
class SeriesBlock:
    """Announcement of n series of one tenant.

    series_ids: uint64 (n,). label_counts: uint16 (n,), labels of each series with `__name__`.
    lengths: uint32 (2 * sum(label_counts),), bytes of name, value, name, value ... in order,
    labels of a series sorted by name. text: all of them joined, UTF-8.
    types: uint8 (n,) of MetricType. units: n strings, "" where unknown.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    series_ids: NDArray[np.uint64]
    label_counts: NDArray[np.uint16]
    lengths: NDArray[np.uint32]
    text: bytes
    types: NDArray[np.uint8]
    units: list[str]

    def __len__(self) -> int:
        return len(self.series_ids)

    def labels(self) -> list[dict[str, str]]:
        """Return the labels of each series, for messages and tests, not for the hot path."""
        bounds = [0, *np.cumsum(self.lengths, dtype=np.int64).tolist()]
        words = [self.text[start:end].decode() for start, end in pairwise(bounds)]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        ends = [0, *np.cumsum(self.label_counts, dtype=np.int64).tolist()]
        return [dict(pairs[start:end]) for start, end in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One series to announce: its id, its labels (with `__name__`), type and unit."""

    series_id: int
    labels: Mapping[str, str]
    type: MetricType = MetricType.UNKNOWN
    unit: str = ""


def series_block(
    tenant: str, receive_ms: int, retention_days: int, series: Sequence[Announcement]
) -> SeriesBlock:
    """Lay announcements out as the columns of a block."""
    words = [
        word.encode() for one in series for label in sorted(one.labels.items()) for word in label
    ]
    return SeriesBlock(
        tenant,
        receive_ms,
        retention_days,
        np.array([one.series_id for one in series], dtype=np.uint64),
        np.array([len(one.labels) for one in series], dtype=np.uint16),
        np.array([len(word) for word in words], dtype=np.uint32),
        b"".join(words),
        np.array([one.type for one in series], dtype=np.uint8),
        [one.unit for one in series],
    )


def encode_series(blocks: Sequence[SeriesBlock]) -> bytes:
    """Encode blocks, at least one, as one record."""
    return b"".join(map(_encode, blocks))


def decode_series(payload: bytes) -> list[SeriesBlock]:
    """Decode a record. Raises InvalidRecord or UnknownVersion."""
    return [_decode(reader) for reader in read_blocks(payload, frozenset({Kind.SERIES}))]


@dataclass(frozen=True, slots=True)
class SeriesTold:
    """Which series a block announces, and when. series_ids: uint64 (n,)."""

    tenant: str
    receive_ms: int
    series_ids: NDArray[np.uint64]


def decode_series_ids(payload: bytes) -> list[SeriesTold]:
    """Decode a record without its labels, as who only counts does. Raises as decode_series."""
    told = []
    for reader in read_blocks(payload, frozenset({Kind.SERIES})):
        ids = reader.plain(reader.header.n, "<u8").astype(np.uint64, copy=False)
        told.append(SeriesTold(reader.header.tenant, reader.header.receive_ms, ids))
    return told


def _encode(block: SeriesBlock) -> bytes:
    header = Header(Kind.SERIES, block.tenant, block.receive_ms, block.retention_days, len(block))
    units = [unit.encode() for unit in block.units]
    columns = [
        pack_plain(block.series_ids, "<u8"),
        pack_plain(block.label_counts, "<u2"),
        pack_plain(block.lengths, "<u4"),
        block.text,
        pack_plain(block.types, "<u1"),
        pack_plain(np.array([len(unit) for unit in units]), "<u2"),
        *units,
    ]
    return write_block(header, columns)


def _decode(reader: BlockReader) -> SeriesBlock:
    header = reader.header
    series_ids = reader.plain(header.n, "<u8").astype(np.uint64, copy=False)
    label_counts = reader.plain(header.n, "<u2").astype(np.uint16, copy=False)
    lengths = reader.plain(2 * int(label_counts.sum(dtype=np.int64)), "<u4").astype(np.uint32)
    text = bytes(reader.raw(int(lengths.sum(dtype=np.int64))))
    types = reader.plain(header.n, "<u1").astype(np.uint8, copy=False)
    unit_lengths = reader.plain(header.n, "<u2").tolist()
    try:
        text.decode()
        units = [str(reader.raw(length), "utf-8") for length in unit_lengths]
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"labels or units are not UTF-8: {error.reason}") from None
    reader.finish()
    return SeriesBlock(
        header.tenant,
        header.receive_ms,
        header.retention_days,
        series_ids,
        label_counts,
        lengths,
        text,
        types,
        units,
    )

"""Record of topic `samples`: blocks of (series id, time, value) columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.block import (
    BlockReader,
    Header,
    Kind,
    pack_floats,
    pack_integers,
    pack_plain,
    read_blocks,
    write_block,
)
from schemas.errors import InvalidRecord
from schemas.times import check_times

# Prometheus' marker for "this series ended here": a NaN of this payload.
STALE_MARKER_BITS = np.uint64(0x7FF0000000000002)

# A block never takes more than this many bytes a row, beyond its header.
MAX_BYTES_PER_SAMPLE = 24


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Samples of one tenant, in order of arrival.

    series_ids: uint64 (n,). times_ms: int64 (n,), event time, ms since the Unix epoch.
    values: float64 (n,), NaN payloads kept. receive_ms: when the edge took them in.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.series_ids)


def tick(receive_ms: int) -> SampleBlock:
    """Return the empty block of no tenant that tells an idle partition the time."""
    nothing = np.empty(0, dtype=np.uint64)
    return SampleBlock("", receive_ms, 0, nothing, nothing.view(np.int64), nothing.view(np.float64))


def check_storable(block: SampleBlock) -> None:
    """Raise InvalidRecord for rows that the store cannot hold: every stage refuses them alike."""
    if not len(block):
        return
    if not block.tenant or not block.retention_days:
        raise InvalidRecord("samples without a tenant or without a retention")
    check_times(block.times_ms)


def encode_samples(blocks: Sequence[SampleBlock]) -> bytes:
    """Encode blocks, at least one, as one record."""
    return b"".join(map(_encode, blocks))


def decode_samples(payload: bytes) -> list[SampleBlock]:
    """Decode a record. Raises InvalidRecord or UnknownVersion."""
    return [_decode(reader) for reader in read_blocks(payload, frozenset({Kind.SAMPLES}))]


def _encode(block: SampleBlock) -> bytes:
    header = Header(Kind.SAMPLES, block.tenant, block.receive_ms, block.retention_days, len(block))
    columns = [
        pack_plain(block.series_ids, "<u8"),
        pack_integers(block.times_ms),
        pack_floats(block.values),
    ]
    return write_block(header, columns)


def _decode(reader: BlockReader) -> SampleBlock:
    header = reader.header
    block = SampleBlock(
        header.tenant,
        header.receive_ms,
        header.retention_days,
        reader.plain(header.n, "<u8").astype(np.uint64, copy=False),
        reader.integers(),
        reader.floats(),
    )
    reader.finish()
    return block

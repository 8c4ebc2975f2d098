"""Record of topic `samples`: blocks of (series id, time, value) columns."""

import struct
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

# Flags of a block: what its tenant wants of the window stage. They stand in the log, so that a
# replay after the tenant's record has changed gives what was given then.
SKETCHES = 1  # quantiles
FINE_WINDOWS = 2  # windows of 10 s beside those of a minute
# Of a tick: from here on series may come that were on other partitions before.
REMAPPED = 128

_MARKS = struct.Struct("<BH")  # flags, n_partitions


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Samples of one tenant, in order of arrival.

    series_ids: uint64 (n,). times_ms: int64 (n,), event time, ms since the Unix epoch.
    values: float64 (n,), NaN payloads kept. receive_ms: when the edge took them in.
    n_partitions: of topic samples as the edge that wrote the block knew it; 0: not said.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    flags: int = 0
    n_partitions: int = 0

    def __len__(self) -> int:
        return len(self.series_ids)


def tick(receive_ms: int, n_partitions: int = 0, flags: int = 0) -> SampleBlock:
    """Return the empty block of no tenant that tells an idle partition the time.

    flags: REMAPPED in the first tick after the number of partitions has changed.
    """
    ids = np.empty(0, dtype=np.uint64)
    columns = (ids, ids.view(np.int64), ids.view(np.float64))
    return SampleBlock("", receive_ms, 0, *columns, flags, n_partitions)


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
        _MARKS.pack(block.flags, block.n_partitions),
        pack_plain(block.series_ids, "<u8"),
        pack_integers(block.times_ms),
        pack_floats(block.values),
    ]
    return write_block(header, columns)


def _decode(reader: BlockReader) -> SampleBlock:
    header = reader.header
    # Version 1 had neither flags nor the number of partitions.
    flags, n_partitions = _MARKS.unpack(reader.raw(_MARKS.size)) if header.version > 1 else (0, 0)
    block = SampleBlock(
        header.tenant,
        header.receive_ms,
        header.retention_days,
        reader.plain(header.n, "<u8").astype(np.uint64, copy=False),
        reader.integers(),
        reader.floats(),
        flags,
        n_partitions,
    )
    reader.finish()
    return block

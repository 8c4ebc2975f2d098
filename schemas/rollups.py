"""Record of topic `rollups`: closed windows, and windows that must be computed again."""

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

FLOAT_COLUMNS = ("sums", "mins", "maxs", "firsts", "lasts", "increases")


@dataclass(frozen=True, slots=True)
class RollupBlock:
    """Closed windows of one tenant and width, one row per series and window, shape (n,) each.

    window_starts_ms: int64, ms since the Unix epoch. counts: uint32. The rest float64, as
    defined for relation `rollups`. receive_ms: receive time of the record that closed them.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    width_s: int
    window_starts_ms: NDArray[np.int64]
    series_ids: NDArray[np.uint64]
    counts: NDArray[np.uint32]
    sums: NDArray[np.float64]
    mins: NDArray[np.float64]
    maxs: NDArray[np.float64]
    firsts: NDArray[np.float64]
    lasts: NDArray[np.float64]
    increases: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.series_ids)


@dataclass(frozen=True, slots=True)
class RecomputeBlock:
    """Windows to compute again from the stored samples, one row per series and window.

    They are right once the samples of partition samples_partition are stored up to and
    including record samples_offset.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    width_s: int
    samples_partition: int
    samples_offset: int
    window_starts_ms: NDArray[np.int64]
    series_ids: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.series_ids)


def encode_rollups(blocks: Sequence[RollupBlock | RecomputeBlock]) -> bytes:
    """Encode blocks, at least one, as one record."""
    return b"".join(map(_encode, blocks))


def decode_rollups(payload: bytes) -> list[RollupBlock | RecomputeBlock]:
    """Decode a record. Raises InvalidRecord or UnknownVersion."""
    kinds = frozenset({Kind.ROLLUPS, Kind.RECOMPUTE})
    return [_decode(reader) for reader in read_blocks(payload, kinds)]


def _encode(block: RollupBlock | RecomputeBlock) -> bytes:
    rolled = isinstance(block, RollupBlock)
    header = Header(
        Kind.ROLLUPS if rolled else Kind.RECOMPUTE,
        block.tenant,
        block.receive_ms,
        block.retention_days,
        len(block),
    )
    columns = [
        pack_plain(np.array([block.width_s]), "<u4"),
        pack_integers(block.window_starts_ms),
        pack_plain(block.series_ids, "<u8"),
    ]
    if isinstance(block, RollupBlock):
        columns.append(pack_integers(block.counts.astype(np.int64)))
        columns += [pack_floats(getattr(block, name)) for name in FLOAT_COLUMNS]
    else:
        columns.append(pack_plain(np.array([block.samples_partition]), "<u4"))
        columns.append(pack_plain(np.array([block.samples_offset]), "<i8"))
    return write_block(header, columns)


def _decode(reader: BlockReader) -> RollupBlock | RecomputeBlock:
    header = reader.header
    common = (header.tenant, header.receive_ms, header.retention_days)
    width_s = int(reader.plain(1, "<u4")[0])
    starts = reader.integers()
    series_ids = reader.plain(header.n, "<u8").astype(np.uint64, copy=False)
    block: RollupBlock | RecomputeBlock
    if header.kind == Kind.ROLLUPS:
        counts = reader.integers().astype(np.uint32)
        floats = [reader.floats() for _ in FLOAT_COLUMNS]
        block = RollupBlock(*common, width_s, starts, series_ids, counts, *floats)
    else:
        partition, offset = int(reader.plain(1, "<u4")[0]), int(reader.plain(1, "<i8")[0])
        block = RecomputeBlock(*common, width_s, partition, offset, starts, series_ids)
    reader.finish()
    return block

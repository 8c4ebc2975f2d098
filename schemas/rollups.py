"""Record of topics `rollups` and `recompute`: closed windows, and windows to compute again."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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

FLOAT_COLUMNS = ("sums", "mins", "maxs", "firsts", "lasts", "increases")
COLUMNS = ("window_starts_ms", "series_ids", "counts", *FLOAT_COLUMNS, "sketch_lengths", "sketch")

# An entry of a sketch is a bucket's code above, the number of samples in it below: pipeline/sketch.
SKETCH_COUNT_BITS = 14

_RECOMPUTE = struct.Struct("<IBIqq")  # width_s, flags, samples_partition, samples_offset, closed
_CLOSE = struct.Struct("<IQQqq")  # width_s, first and last series id, from_ms, until_ms


@dataclass(frozen=True, slots=True)
class RollupBlock:
    """Closed windows of one tenant and width, one row per series and window, shape (n,) each.

    window_starts_ms: int64, ms since the Unix epoch. counts: uint32. The next six float64, as
    defined for relation `rollups`. sketch: uint32, the entries of pipeline.sketch of all rows, one
    after the other; sketch_lengths: uint32 (n,), how many are each row's, 0 where the tenant has
    sketches off. receive_ms: receive time of the record that closed them.
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
    sketch_lengths: NDArray[np.uint32]
    sketch: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.series_ids)


def join_rollups(blocks: Sequence[RollupBlock]) -> RollupBlock:
    """Return the rows of all blocks, at least one, under the head of the first."""
    if len(blocks) == 1:
        return blocks[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in blocks]) for name in COLUMNS
    }
    return replace(blocks[0], **columns)


@dataclass(frozen=True, slots=True)
class RecomputeBlock:
    """Stretches of a series' windows to compute again from the stored samples, one a row.

    first_ms, last_ms: int64 (n,), starts of a stretch's first and last window, of one UTC day.
    They can be computed once the samples of partition samples_partition are stored up to and
    including record samples_offset. closed_until_ms: what ends at or before it was closed when
    the block was written, coarser windows too. flags: those of the samples (schemas.samples).
    """

    tenant: str
    receive_ms: int
    retention_days: int
    width_s: int
    flags: int
    samples_partition: int
    samples_offset: int
    closed_until_ms: int
    series_ids: NDArray[np.uint64]
    first_ms: NDArray[np.int64]
    last_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series_ids)

    def n_windows(self) -> int:
        """Return how many windows the stretches hold."""
        return int(((self.last_ms - self.first_ms) // (self.width_s * 1000) + 1).sum())


@dataclass(frozen=True, slots=True)
class CloseBlock:
    """Windows of width_s that start in [from_ms, until_ms) can be made of those of the next finer.

    So it is for the tenant's series of ids in [first_series_id, last_series_id], once all that
    stands before the block in its partition of topic rollups is in the store.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    width_s: int
    first_series_id: int
    last_series_id: int
    from_ms: int
    until_ms: int


Block = RollupBlock | RecomputeBlock | CloseBlock


def check_rollups(block: RollupBlock) -> None:
    """Raise InvalidRecord for windows that the store cannot hold: all stages refuse them."""
    check_times(block.window_starts_ms)
    if (block.window_starts_ms % 1000).any():
        raise InvalidRecord("a window starts within a second")


def encode_rollups(blocks: Sequence[Block]) -> bytes:
    """Encode blocks, at least one, as one record."""
    return b"".join(map(_encode, blocks))


def decode_rollups(payload: bytes) -> list[Block]:
    """Decode a record. Raises InvalidRecord or UnknownVersion."""
    kinds = frozenset({Kind.ROLLUPS, Kind.RECOMPUTE, Kind.CLOSE})
    return [_decode(reader) for reader in read_blocks(payload, kinds)]


def _encode(block: Block) -> bytes:
    head = (block.tenant, block.receive_ms, block.retention_days)
    match block:
        case RollupBlock():
            return write_block(Header(Kind.ROLLUPS, *head, len(block)), _pack_rows(block))
        case RecomputeBlock():
            return write_block(Header(Kind.RECOMPUTE, *head, len(block)), _pack_stretches(block))
        case CloseBlock():
            ids = (block.first_series_id, block.last_series_id)
            packed = _CLOSE.pack(block.width_s, *ids, block.from_ms, block.until_ms)
            return write_block(Header(Kind.CLOSE, *head, 0), [packed])


def _pack_rows(block: RollupBlock) -> list[bytes]:
    return [
        pack_plain(np.array([block.width_s]), "<u4"),
        pack_integers(block.window_starts_ms),
        pack_plain(block.series_ids, "<u8"),
        pack_integers(block.counts.astype(np.int64)),
        *(pack_floats(getattr(block, name)) for name in FLOAT_COLUMNS),
        pack_integers(block.sketch_lengths.astype(np.int64)),
        pack_plain(block.sketch, "<u4"),
    ]


def _pack_stretches(block: RecomputeBlock) -> list[bytes]:
    place = (block.samples_partition, block.samples_offset)
    return [
        _RECOMPUTE.pack(block.width_s, block.flags, *place, block.closed_until_ms),
        pack_plain(block.series_ids, "<u8"),
        pack_integers(block.first_ms),
        pack_integers(block.last_ms - block.first_ms),
    ]


def _decode(reader: BlockReader) -> Block:
    block: Block
    if reader.header.kind == Kind.ROLLUPS:
        block = _read_rows(reader)
    elif reader.header.kind == Kind.CLOSE:
        block = CloseBlock(*_head(reader), *_CLOSE.unpack(reader.raw(_CLOSE.size)))
    elif reader.header.version == 1:
        block = _read_marks_of_version_1(reader)
    else:
        block = _read_stretches(reader)
    reader.finish()
    return block


def _read_rows(reader: BlockReader) -> RollupBlock:
    width_s = int(reader.plain(1, "<u4")[0])
    starts, ids = reader.integers(), _series_ids(reader)
    counts = reader.integers().astype(np.uint32)
    floats = [reader.floats() for _ in FLOAT_COLUMNS]
    lengths = np.zeros(len(ids), dtype=np.int64)
    if reader.header.version > 1:
        lengths = reader.integers()
    if len(lengths) and (lengths.min() < 0 or lengths.max() > len(reader.rest) // 4):
        raise InvalidRecord("a sketch is longer than its block")
    sketch = reader.plain(int(lengths.sum()), "<u4").astype(np.uint32, copy=False)
    if not (sketch & np.uint32((1 << SKETCH_COUNT_BITS) - 1)).all():
        raise InvalidRecord("an entry of a sketch counts no samples")
    columns: tuple[Any, ...] = (starts, ids, counts, *floats, lengths.astype(np.uint32), sketch)
    return RollupBlock(*_head(reader), width_s, *columns)


def _read_stretches(reader: BlockReader) -> RecomputeBlock:
    width_s, flags, partition, offset, closed = _RECOMPUTE.unpack(reader.raw(_RECOMPUTE.size))
    ids, first_ms = _series_ids(reader), reader.integers()
    columns = (ids, first_ms, first_ms + reader.integers())
    return RecomputeBlock(*_head(reader), width_s, flags, partition, offset, closed, *columns)


def _read_marks_of_version_1(reader: BlockReader) -> RecomputeBlock:
    """Read single windows; nothing was said of coarser ones, which there were none of."""
    width_s = int(reader.plain(1, "<u4")[0])
    starts, ids = reader.integers(), _series_ids(reader)
    partition, offset = int(reader.plain(1, "<u4")[0]), int(reader.plain(1, "<i8")[0])
    return RecomputeBlock(*_head(reader), width_s, 0, partition, offset, 0, ids, starts, starts)


def _head(reader: BlockReader) -> tuple[str, int, int]:
    return reader.header.tenant, reader.header.receive_ms, reader.header.retention_days


def _series_ids(reader: BlockReader) -> NDArray[np.uint64]:
    return reader.plain(reader.header.n, "<u8").astype(np.uint64, copy=False)

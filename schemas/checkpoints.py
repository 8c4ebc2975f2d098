"""Record of topic `checkpoints`: the window stage's state of one partition, in chunks.

A checkpoint is written as n chunks under the keys `window/PARTITION/PARITY/CHUNK`. PARITY is
that of its sequence number, so that compaction never removes the last whole checkpoint while
the next one is being written.
"""

import zlib
from collections.abc import Iterable, Iterator

import cramjam
import msgspec
import numpy as np

from schemas.errors import InvalidRecord, UnknownVersion

VERSION = 2
MAX_CHUNK_BYTES = 800_000

_ROW_BYTES_1 = 76
_LONG_AGO_MS = -(1 << 62)


class OpenState(msgspec.Struct, array_like=True, frozen=True):
    """Arrays of pipeline.open_windows, as their bytes."""

    novice_until_ms: int
    slots: bytes
    rows: bytes
    heads: bytes
    row_heads: bytes
    chunks: bytes
    free: list[int]
    has_sketches: bool


class TenantState(msgspec.Struct, array_like=True, frozen=True):
    """State of one tenant's windows of one width; dirty is an array of pipeline.stretches."""

    tenant: str
    width_ms: int
    retention_days: int
    flags: int
    watermark_ms: int
    last_receive_ms: int
    closed_until_ms: int
    blind_until_ms: int
    ends_ms: int
    dirty: bytes
    open: OpenState


class PartitionState(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's windows: see pipeline.windows."""

    n_partitions: int
    blind_until_ms: int
    spread_until_ms: int
    tenants: list[TenantState]


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition after all records before next_offset, and the offset: one thing."""

    next_offset: int
    windows: PartitionState


class WidthState(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's scores of one width: see pipeline.scoring.width."""

    width_s: int
    no_room_until_ms: int
    forgotten_ms: int
    series: bytes
    shards: list[bytes]


class ScoresState(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's scores; layout: of the series' records."""

    layout: int
    newest_ms: int
    rules_digest: bytes
    widths: list[WidthState]


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """One record's worth of a checkpoint. sequence counts a partition's checkpoints.

    checksum: of the whole checkpoint. A worker that was halted while it wrote one may go on after
    another worker has taken its place and written one of the same sequence.
    """

    version: int
    partition: int
    sequence: int
    number: int
    n_chunks: int
    content: bytes
    checksum: int = 0


def pack(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint's content, for chunks_of."""
    # LZ4: the state is mostly ids and floats; heavier codecs gain a tenth and cost ten times.
    return bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(checkpoint)))


def chunks_of(partition: int, sequence: int, packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each record of a checkpoint, one at a time."""
    n_chunks = -(-len(packed) // MAX_CHUNK_BYTES)
    checksum = zlib.crc32(packed)
    for number in range(n_chunks):
        piece = packed[number * MAX_CHUNK_BYTES : (number + 1) * MAX_CHUNK_BYTES]
        key = f"window/{partition}/{sequence % 2}/{number}".encode()
        chunk = Chunk(VERSION, partition, sequence, number, n_chunks, piece, checksum)
        yield key, msgspec.msgpack.encode(chunk)


def encode_checkpoint(
    partition: int, sequence: int, checkpoint: Checkpoint
) -> list[tuple[bytes, bytes]]:
    """Return key and value of each record of a checkpoint."""
    return list(chunks_of(partition, sequence, pack(checkpoint)))


def decode_chunk(payload: bytes) -> Chunk:
    """Decode one record. Raises InvalidRecord or UnknownVersion."""
    try:
        version = msgspec.msgpack.decode(payload, type=list)[0]
        if version not in {1, VERSION}:
            raise UnknownVersion("checkpoint", version, VERSION)
        return msgspec.msgpack.decode(payload, type=Chunk)
    except (msgspec.DecodeError, IndexError) as error:
        raise InvalidRecord(f"no checkpoint chunk: {error}") from None


def newest_checkpoint(chunks: Iterable[Chunk]) -> tuple[int, Checkpoint] | None:
    """Return sequence and content of the newest checkpoint of which no chunk is missing."""
    written: dict[tuple[int, int], dict[int, Chunk]] = {}
    for chunk in chunks:
        written.setdefault((chunk.sequence, chunk.checksum), {})[chunk.number] = chunk
    for sequence, checksum in sorted(written, reverse=True):
        pieces = written[sequence, checksum]
        n_chunks = next(iter(pieces.values())).n_chunks
        if set(pieces) >= set(range(n_chunks)):
            packed = b"".join(pieces[number].content for number in range(n_chunks))
            return sequence, _unpack(packed, pieces[0].version)
    return None


class _TenantState1(msgspec.Struct, array_like=True, frozen=True):
    """A tenant's state of version 1: minutes only, without sketches."""

    tenant: str
    retention_days: int
    watermark_ms: int
    last_receive_ms: int
    closed_until_ms: int
    slots: bytes
    rows: bytes
    dirty: bytes


class _Checkpoint1(msgspec.Struct, array_like=True, frozen=True):
    next_offset: int
    width_ms: int
    tenants: list[_TenantState1]


def _from_version_1(old: _Checkpoint1) -> Checkpoint:
    """Return it as of version 2: rows got a last field, and nothing is blind."""
    tenants = []
    for one in old.tenants:
        rows = np.frombuffer(one.rows, np.uint8).reshape(-1, _ROW_BYTES_1)
        rows = np.pad(rows, ((0, 0), (0, 4)))
        state = OpenState(_LONG_AGO_MS, one.slots, rows.tobytes(), b"", b"", b"", [0, 0], False)  # noqa: FBT003
        times = (one.watermark_ms, one.last_receive_ms, one.closed_until_ms)
        ends = (_LONG_AGO_MS, -_LONG_AGO_MS, one.dirty)
        head = (one.tenant, old.width_ms, one.retention_days, 0)
        tenants.append(TenantState(*head, *times, *ends, state))
    return Checkpoint(old.next_offset, PartitionState(0, _LONG_AGO_MS, _LONG_AGO_MS, tenants))


def _unpack(packed: bytes, version: int) -> Checkpoint:
    try:
        unpacked = bytes(cramjam.lz4.decompress_block(packed))
        if version == 1:
            return _from_version_1(msgspec.msgpack.decode(unpacked, type=_Checkpoint1))
        return msgspec.msgpack.decode(unpacked, type=Checkpoint)
    except (cramjam.DecompressionError, msgspec.DecodeError, ValueError) as error:
        raise InvalidRecord(f"checkpoint does not unpack: {error}") from None

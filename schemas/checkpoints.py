"""Record of topic `checkpoints`: the window stage's state of one partition, in chunks.

A checkpoint is written as n chunks under the keys `window/PARTITION/PARITY/CHUNK`. PARITY is
that of its sequence number, so that compaction never removes the last whole checkpoint while
the next one is being written.
"""

from collections.abc import Iterable

import cramjam
import msgspec

from schemas.errors import InvalidRecord, UnknownVersion

VERSION = 1
MAX_CHUNK_BYTES = 800_000


class TenantState(msgspec.Struct, array_like=True, frozen=True):
    """State of one tenant's windows; slots, rows and dirty are arrays of pipeline.window_state."""

    tenant: str
    retention_days: int
    watermark_ms: int
    last_receive_ms: int
    closed_until_ms: int
    slots: bytes
    rows: bytes
    dirty: bytes


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition after all records before next_offset, and the offset: one thing."""

    next_offset: int
    width_ms: int
    tenants: list[TenantState]


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """One record's worth of a checkpoint. sequence counts a partition's checkpoints."""

    version: int
    partition: int
    sequence: int
    number: int
    n_chunks: int
    content: bytes


def encode_checkpoint(
    partition: int, sequence: int, checkpoint: Checkpoint
) -> list[tuple[bytes, bytes]]:
    """Return key and value of each record of a checkpoint."""
    # LZ4: the state is mostly ids and floats; heavier codecs gain a tenth and cost ten times.
    packed = bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(checkpoint)))
    pieces = [packed[at : at + MAX_CHUNK_BYTES] for at in range(0, len(packed), MAX_CHUNK_BYTES)]
    return [
        (
            f"window/{partition}/{sequence % 2}/{number}".encode(),
            msgspec.msgpack.encode(Chunk(VERSION, partition, sequence, number, len(pieces), piece)),
        )
        for number, piece in enumerate(pieces)
    ]


def decode_chunk(payload: bytes) -> Chunk:
    """Decode one record. Raises InvalidRecord or UnknownVersion."""
    try:
        version = msgspec.msgpack.decode(payload, type=list)[0]
        if version != VERSION:
            raise UnknownVersion("checkpoint", version, VERSION)
        return msgspec.msgpack.decode(payload, type=Chunk)
    except (msgspec.DecodeError, IndexError) as error:
        raise InvalidRecord(f"no checkpoint chunk: {error}") from None


def newest_checkpoint(chunks: Iterable[Chunk]) -> tuple[int, Checkpoint] | None:
    """Return sequence and content of the newest checkpoint of which no chunk is missing."""
    by_sequence: dict[int, dict[int, Chunk]] = {}
    for chunk in chunks:
        by_sequence.setdefault(chunk.sequence, {})[chunk.number] = chunk
    for sequence in sorted(by_sequence, reverse=True):
        pieces = by_sequence[sequence]
        n_chunks = next(iter(pieces.values())).n_chunks
        if set(pieces) >= set(range(n_chunks)):
            packed = b"".join(pieces[number].content for number in range(n_chunks))
            return sequence, _unpack(packed)
    return None


def _unpack(packed: bytes) -> Checkpoint:
    try:
        unpacked = bytes(cramjam.lz4.decompress_block(packed))
        return msgspec.msgpack.decode(unpacked, type=Checkpoint)
    except (cramjam.DecompressionError, msgspec.DecodeError) as error:
        raise InvalidRecord(f"checkpoint does not unpack: {error}") from None

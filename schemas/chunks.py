"""Record of topic `checkpoints`: a piece of a stage's state of one partition.

A checkpoint is written as n chunks under the keys `STAGE/PARTITION/PARITY/CHUNK`. PARITY is
that of its sequence number, so that compaction never removes the last whole checkpoint while
the next one is being written.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cramjam
import msgspec

from schemas.errors import InvalidRecord, UnknownVersion

MAX_CHUNK_BYTES = 800_000

_Content = TypeVar("_Content")


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


@dataclass(frozen=True, slots=True)
class Format(Generic[_Content]):
    """How a stage's checkpoints are written.

    stage: what their keys begin with. version: that is written. unpack: returns the content of
    MessagePack of this version or an older one.
    """

    stage: str
    version: int
    unpack: Callable[[bytes, int], _Content]

    def key_prefix(self, partition: int) -> bytes:
        """Return what the keys of a partition's chunks begin with."""
        return f"{self.stage}/{partition}/".encode()


def pack(checkpoint: Any) -> bytes:
    """Return a checkpoint's content, for chunks_of."""
    # LZ4: the state is mostly ids and floats; heavier codecs gain a tenth and cost ten times.
    return bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(checkpoint)))


def chunks_of(
    form: Format[Any], partition: int, sequence: int, packed: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each record of a checkpoint, one at a time."""
    n_chunks = -(-len(packed) // MAX_CHUNK_BYTES)
    checksum = zlib.crc32(packed)
    for number in range(n_chunks):
        piece = packed[number * MAX_CHUNK_BYTES : (number + 1) * MAX_CHUNK_BYTES]
        key = form.key_prefix(partition) + f"{sequence % 2}/{number}".encode()
        chunk = Chunk(form.version, partition, sequence, number, n_chunks, piece, checksum)
        yield key, msgspec.msgpack.encode(chunk)


def decode_chunk(form: Format[Any], payload: bytes) -> Chunk:
    """Decode one record. Raises InvalidRecord or UnknownVersion."""
    try:
        version = msgspec.msgpack.decode(payload, type=list)[0]
        if version not in range(1, form.version + 1):
            raise UnknownVersion("checkpoint", version, form.version)
        return msgspec.msgpack.decode(payload, type=Chunk)
    except (msgspec.DecodeError, IndexError) as error:
        raise InvalidRecord(f"no checkpoint chunk: {error}") from None


def newest_checkpoint(
    form: Format[_Content], chunks: Iterable[Chunk]
) -> tuple[int, _Content] | None:
    """Return sequence and content of the newest checkpoint of which no chunk is missing.

    Raises InvalidRecord where that one does not unpack.
    """
    written: dict[tuple[int, int], dict[int, Chunk]] = {}
    for chunk in chunks:
        written.setdefault((chunk.sequence, chunk.checksum), {})[chunk.number] = chunk
    for sequence, checksum in sorted(written, reverse=True):
        pieces = written[sequence, checksum]
        n_chunks = next(iter(pieces.values())).n_chunks
        if set(pieces) >= set(range(n_chunks)):
            packed = b"".join(pieces[number].content for number in range(n_chunks))
            return sequence, _unpacked(form, packed, pieces[0].version)
    return None


def _unpacked(form: Format[_Content], packed: bytes, version: int) -> _Content:
    try:
        return form.unpack(bytes(cramjam.lz4.decompress_block(packed)), version)
    except (cramjam.DecompressionError, msgspec.DecodeError, ValueError) as error:
        raise InvalidRecord(f"checkpoint does not unpack: {error}") from None

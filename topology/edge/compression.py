"""Bodies as they were before their senders compressed them, bounded while they unfold."""

import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MalformedBody

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Hold = Callable[[int], None]


class Encoding(StrEnum):
    """How a body is compressed. SNAPPY is the block format, not the framed one."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    SNAPPY = "snappy"


# What a protocol takes: values of Content-Encoding, lower case, "" for no such header.
PLAIN = {"": Encoding.NONE, "identity": Encoding.NONE}
GZIP = {"gzip": Encoding.GZIP, "x-gzip": Encoding.GZIP}
ZSTD = {"zstd": Encoding.ZSTD}
SNAPPY = {"snappy": Encoding.SNAPPY}

# A body up to this size is decompressed into one and the same place.
_SCRATCH_BYTES = 2 << 20
_PIECE_BYTES = 1 << 20
# What a stream has not used of its input is copied, so it is fed little at a time.
_FED_BYTES = 16 << 10
# Each costs some microseconds, whatever little it holds.
_MAX_MEMBERS = 10_000
# RFC 8878 recommends that decoders take windows of 8 MiB; a frame may ask for gigabytes.
_ZSTD_WINDOW_LOG = 23


class BodyTooLarge(Exception):
    """The body exceeds a limit; the text names it."""


def hold_nothing(_: int) -> None:
    """Stand in for a count of memory where nothing is counted."""


class Decompressor:
    """Unfolds bodies up to max_bytes each; of any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._scratch = np.empty(_SCRATCH_BYTES, dtype=np.uint8)
        self._scratch_lock = threading.Lock()

    @contextmanager
    def plain(
        self, body: bytes, encoding: Encoding, hold: Hold = hold_nothing
    ) -> Iterator[NDArray[np.uint8]]:
        """Lend a body, uint8 (n,), read-only, until the block ends.

        hold: told of each further piece of memory as it is taken; what it raises ends the work.
        Raises MalformedBody for what is not of this encoding to its last byte, BodyTooLarge.
        """
        if encoding is Encoding.SNAPPY:
            with self._unsnapped(body, hold) as plain:
                yield plain
            return
        if encoding is Encoding.NONE:
            # Nothing new, but what it is decoded into takes about as much.
            hold(len(body))
            whole: bytes | bytearray = body
        else:
            whole = self._inflate(body, encoding, hold)
        self._check(len(whole))
        yield as_read_only(np.frombuffer(whole, dtype=np.uint8))

    @contextmanager
    def _unsnapped(self, body: bytes, hold: Hold) -> Iterator[NDArray[np.uint8]]:
        """Lend the body of a snappy block, mostly in memory that was used before.

        Fresh memory has to be cleared by the system: that took four times as long as the bytes.
        """
        size = snappy_size(body)
        self._check(size)
        hold(size)
        is_lent = size <= _SCRATCH_BYTES and self._scratch_lock.acquire(blocking=False)
        buffer = self._scratch if is_lent else np.empty(size, dtype=np.uint8)
        try:
            try:
                plain = buffer[: cramjam.snappy.decompress_raw_into(body, buffer.data)]
            except cramjam.DecompressionError as error:
                raise MalformedBody(f"not a snappy block: {error}") from None
            yield as_read_only(plain)
        finally:
            if is_lent:
                self._scratch_lock.release()

    def _inflate(self, body: bytes, encoding: Encoding, hold: Hold) -> bytes | bytearray:
        whole: bytes | bytearray = b""
        try:
            for piece in _pieces(body, encoding):
                self._check(len(whole) + len(piece))
                hold(len(piece))
                if not whole:
                    whole = piece
                    continue
                if isinstance(whole, bytes):
                    whole = bytearray(whole)
                whole += piece
        except (zlib.error, zstd.ZstdError) as error:
            raise MalformedBody(f"not {encoding}: {error}") from None
        return whole

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(
                f"body over {self._max_bytes} bytes after decompression (max_decoded_bytes)"
            )


def as_read_only(plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the array, not to be written: compiled code takes a writable one for another type."""
    plain.flags.writeable = False
    return plain


def snappy_size(body: bytes) -> int:
    """Return how many bytes a snappy block says it becomes. Raises MalformedBody."""
    if not body:
        raise MalformedBody("not a snappy block: its length is missing")
    try:
        return int(cramjam.snappy.decompress_raw_len(body))
    except cramjam.DecompressionError as error:
        raise MalformedBody(f"not a snappy block: {error}") from None


def _pieces(body: bytes, encoding: Encoding) -> Iterator[bytes]:
    """Yield what all members of a gzip or zstd body hold, at most _PIECE_BYTES at once.

    Both formats are any number of members one after the other (RFC 1952, 2.2; RFC 8878, 3).
    """
    rest, n_members = memoryview(body), 0
    while rest or not n_members:
        n_members += 1
        if n_members > _MAX_MEMBERS:
            raise MalformedBody(f"{encoding} of more than {_MAX_MEMBERS} members: send fewer")
        step, stream = _begin(encoding)
        while not stream.eof:
            fed = rest[:_FED_BYTES]
            piece, n_used = step(stream, fed)
            rest = rest[n_used:]
            if piece:
                yield piece
            elif not fed and not stream.eof:
                raise MalformedBody(f"not {encoding}: it ends early")


def _begin(encoding: Encoding) -> tuple[Callable[[Any, memoryview], tuple[bytes, int]], Any]:
    """Return a stream for one member, and what feeds it."""
    if encoding is Encoding.GZIP:
        return _gunzip, zlib.decompressobj(wbits=31)
    options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
    return _unzstd, zstd.ZstdDecompressor(options=options)


def _gunzip(stream: Any, fed: memoryview) -> tuple[bytes, int]:
    piece = stream.decompress(fed, _PIECE_BYTES)
    return piece, len(fed) - len(stream.unconsumed_tail) - len(stream.unused_data)


def _unzstd(stream: Any, fed: memoryview) -> tuple[bytes, int]:
    taken = fed if stream.needs_input else fed[:0]
    piece = stream.decompress(taken, _PIECE_BYTES)
    return piece, len(taken) - len(stream.unused_data)

"""Parts that a full disk has left without all their bytes, though the engine took them for done.

chDB 4.4.0 now and then calls an insert or a merge done of whose files all bytes, or those after
some place, are missing, when the disk was full and then not any more. Nothing is lost if the
process ends at once and hard: the offsets of the insert are not committed yet, and at its next
start the engine puts such parts aside and takes up those that they were merged of. An orderly close
would have deleted these.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

# Partition, first and last block, level, version of a mutation; what is being written or removed
# has a name of another kind.
_NAME = re.compile(r"(?!tmp|delete)[A-Za-z0-9-]+_\d+_\d+_\d+(_\d+)?")

# MergeTreeDataPartChecksums of ClickHouse, format 4: a compressed map of names to sizes and hashes.
_CHECKSUMS = "checksums.txt"
_HEADER = b"checksums format version: 4\n"
_HASH_BYTES = 16
_CODECS = {0x82: "lz4_raw", 0x90: "zstd"}


class PartsOnDisk:
    """The parts under an embedded engine's folder; each is looked at once, as none ever changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole: set[str] = set()

    def broken(self) -> list[str]:
        """Return the paths of parts whose files are shorter than they should be."""
        parts = {one for table in self._folder.glob("store/*/*") for one in _parts(table)}
        self._whole &= parts
        found = [one for one in parts - self._whole if not _is_whole(Path(one))]
        self._whole |= parts.difference(found)
        return sorted(found)


def sizes(checksums: bytes) -> dict[str, int]:
    """Return the size in bytes of each file that a part's checksums.txt names.

    Raises ValueError for what cannot be read.
    """
    if not checksums.startswith(_HEADER):
        raise ValueError(f"checksums.txt begins with {checksums[: len(_HEADER)]!r}")
    return dict(_entries(b"".join(_blocks(checksums[len(_HEADER) :]))))


def _parts(table: Path) -> Iterator[str]:
    try:
        with os.scandir(table) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    yield entry.path
    except FileNotFoundError:
        return


def _is_whole(part: Path) -> bool:
    """Whether all files have their sizes; a part that is being removed counts as whole."""
    try:
        wanted = sizes((part / _CHECKSUMS).read_bytes())
        return all((part / name).stat().st_size == size for name, size in wanted.items())
    except FileNotFoundError:
        return True
    except (ValueError, IndexError):
        return False


def _blocks(compressed: bytes) -> Iterator[bytes]:
    """Yield the content of blocks: hash, codec, both sizes, data; one size counts from codec on."""
    while compressed:
        size = _HASH_BYTES + int.from_bytes(compressed[17:21], "little")
        n_bytes = int.from_bytes(compressed[21:25], "little")
        codec = _CODECS.get(compressed[16])
        if codec is None or size <= _HASH_BYTES:
            raise ValueError(f"checksums.txt has a block of codec {compressed[16]:#x}")
        try:
            yield pa.decompress(compressed[25:size], n_bytes, codec, asbytes=True)
        except OSError as error:
            raise ValueError(f"checksums.txt: {error}") from None
        compressed = compressed[size:]


def _entries(content: bytes) -> Iterator[tuple[str, int]]:
    n_files, at = _varint(content, 0)
    for _ in range(n_files):
        n_bytes, at = _varint(content, at)
        name = content[at : at + n_bytes].decode()
        size, at = _varint(content, at + n_bytes)
        is_compressed = content[at + _HASH_BYTES]
        at += _HASH_BYTES + 1
        if is_compressed:
            _, at = _varint(content, at)
            at += _HASH_BYTES
        yield name, size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a LEB128 number and where it ends."""
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 128:
            return value, at

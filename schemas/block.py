"""The frame that all record formats share: a record is one or more blocks, each of one tenant.

A block, little-endian:
    0   2s   magic "OA"
    2   u8   kind
    3   u8   format version of that kind
    4   u32  length of the whole block in bytes
    8   i64  receive time, ms since the Unix epoch
    16  u32  n, number of rows
    20  u16  retention of the rows in days
    22  u16  length of the tenant's name in bytes
    24  ...  tenant (UTF-8), then the columns of the kind
A column of integers or floats begins with one byte that says how it is packed (Packing).
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidRecord, UnknownVersion

_HEADER = struct.Struct("<2sBBIqIHH")
_MAGIC = b"OA"
_LEAST_ROW_BYTES = 8  # every kind has the series id of each row


class Kind(IntEnum):
    """What a block holds, and hence which columns follow its header."""

    SAMPLES = 1
    SERIES = 2
    ROLLUPS = 3
    RECOMPUTE = 4
    CHECKPOINT = 5
    CLOSE = 6
    SCORES = 7


# Raised when the columns of a kind change; readers keep reading the older ones.
VERSIONS = {
    Kind.SAMPLES: 2,
    Kind.SERIES: 1,
    Kind.ROLLUPS: 2,
    Kind.RECOMPUTE: 2,
    Kind.CHECKPOINT: 1,
    Kind.CLOSE: 1,
    Kind.SCORES: 1,
}


class Packing(IntEnum):
    """How a column of 8-byte numbers is packed: raw, one value for all, or base plus offsets."""

    RAW = 0
    CONSTANT = 1
    OFFSET_8 = 2
    OFFSET_16 = 3
    OFFSET_32 = 4


# An enum's own look-up takes a microsecond, of which a block needs four.
_KINDS = {one.value: one for one in Kind}
_PACKINGS = {one.value: one for one in Packing}

_OFFSETS: tuple[tuple[Packing, np.dtype[Any]], ...] = (
    (Packing.OFFSET_8, np.dtype("<u1")),
    (Packing.OFFSET_16, np.dtype("<u2")),
    (Packing.OFFSET_32, np.dtype("<u4")),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What every block says of itself; version is that of its kind's columns."""

    kind: Kind
    tenant: str
    receive_ms: int
    retention_days: int
    n: int
    version: int = 0


def write_block(header: Header, columns: list[bytes]) -> bytes:
    """Return one block in the newest version. Raises ValueError for a tenant over 65,535 bytes."""
    tenant = header.tenant.encode()
    if len(tenant) > 0xFFFF:
        raise ValueError(f"tenant name of {len(tenant)} bytes: at most 65535 fit the record format")
    length = _HEADER.size + len(tenant) + sum(map(len, columns))
    head = _HEADER.pack(
        _MAGIC,
        header.kind,
        VERSIONS[header.kind],
        length,
        header.receive_ms,
        header.n,
        header.retention_days,
        len(tenant),
    )
    return b"".join((head, tenant, *columns))


def pack_integers(column: NDArray[np.int64]) -> bytes:
    """Pack integers, shape (n,), in the order given, as narrow as their range allows.

    Any 64-bit value survives: offsets are taken modulo 2**64.
    """
    if len(column) == 0:
        return bytes([Packing.RAW])
    column = np.ascontiguousarray(column, dtype="<i8")
    base = column.min()
    span = (int(column.max()) - int(base)) & 0xFFFF_FFFF_FFFF_FFFF
    if span == 0:
        return b"".join((bytes([Packing.CONSTANT]), base.tobytes()))
    for packing, dtype in _OFFSETS:
        if span <= np.iinfo(dtype).max:
            offsets = (column - base).astype(dtype).tobytes()
            return b"".join((bytes([packing]), base.tobytes(), offsets))
    return bytes([Packing.RAW]) + column.tobytes()


def pack_floats(column: NDArray[np.float64]) -> bytes:
    """Pack floats bit by bit, shape (n,): NaN payloads and the sign of zero survive."""
    bits = np.ascontiguousarray(column, dtype="<f8").view("<u8")
    if len(bits) and (bits == bits[0]).all():
        return bytes([Packing.CONSTANT]) + bits[:1].tobytes()
    return bytes([Packing.RAW]) + bits.tobytes()


def pack_plain(column: NDArray[np.generic], dtype: str) -> bytes:
    """Return the bytes of a column that packing does not make smaller."""
    return np.ascontiguousarray(column, dtype=dtype).tobytes()


class BlockReader:
    """Reads one block's columns in their order, never past the block's end."""

    def __init__(self, header: Header, columns: memoryview) -> None:
        self.header = header
        self._rest = columns

    def integers(self) -> NDArray[np.int64]:
        """Return the next packed column of integers, shape (n,)."""
        packing = self._packing()
        n = self.header.n
        if packing == Packing.RAW:
            return self.plain(n, "<i8").astype(np.int64, copy=False)
        base = self.plain(1, "<i8")[0]
        if packing == Packing.CONSTANT:
            return np.full(n, base, dtype=np.int64)
        dtype = dict(_OFFSETS)[packing]
        # Modulo 2**64, as written.
        offsets = self.plain(n, dtype.str).astype(np.uint64)
        times: NDArray[np.int64] = (offsets + base.view(np.uint64)).view(np.int64)
        return times

    def floats(self) -> NDArray[np.float64]:
        """Return the next packed column of floats, shape (n,)."""
        packing = self._packing()
        if packing == Packing.CONSTANT:
            return np.full(self.header.n, self.plain(1, "<u8")[0], dtype=np.uint64).view(np.float64)
        if packing != Packing.RAW:
            raise InvalidRecord(f"packing {packing} does not apply to floats")
        return self.plain(self.header.n, "<f8").astype(np.float64, copy=False)

    def plain(self, count: int, dtype: str) -> NDArray[np.generic]:
        """Return the next count values of the type.

        A copy, because a view would be unaligned: another array type to compiled code.
        """
        return np.frombuffer(self.raw(count * np.dtype(dtype).itemsize), dtype=dtype).copy()

    def raw(self, size: int) -> memoryview:
        """Return the next size bytes."""
        if size > len(self._rest):
            raise InvalidRecord(f"block ends {size - len(self._rest)} bytes early")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    @property
    def rest(self) -> memoryview:
        """What is not read yet."""
        return self._rest

    def finish(self) -> None:
        """Raise InvalidRecord if bytes are left."""
        if len(self._rest):
            raise InvalidRecord(f"{len(self._rest)} bytes after the last column")

    def _packing(self) -> Packing:
        value = self.raw(1)[0]
        packing = _PACKINGS.get(value)
        if packing is None:
            raise InvalidRecord(f"unknown packing {value}")
        return packing


def read_blocks(payload: bytes, expected: frozenset[Kind]) -> list[BlockReader]:
    """Split a record into its blocks and check each header.

    Raises InvalidRecord for bytes that are no such record, UnknownVersion for a newer format.
    """
    rest = memoryview(payload)
    blocks: list[BlockReader] = []
    while rest or not blocks:
        reader, size = _read_block(rest, expected)
        blocks.append(reader)
        rest = rest[size:]
    return blocks


def _read_block(rest: memoryview, expected: frozenset[Kind]) -> tuple[BlockReader, int]:
    if len(rest) < _HEADER.size:
        raise InvalidRecord(f"{len(rest)} bytes are too few for a block header of {_HEADER.size}")
    magic, number, version, length, receive_ms, n, retention_days, tenant_length = (
        _HEADER.unpack_from(rest)
    )
    if magic != _MAGIC:
        raise InvalidRecord(f"begins with {magic!r}, not with {_MAGIC!r}")
    kind = _KINDS.get(number)
    if kind is None or kind not in expected:
        names = ", ".join(sorted(k.name.lower() for k in expected))
        raise InvalidRecord(f"block kind {number} where {names} belongs")
    if not 1 <= version <= VERSIONS[kind]:
        raise UnknownVersion(kind.name.lower(), version, VERSIONS[kind])
    if not _HEADER.size + tenant_length <= length <= len(rest):
        raise InvalidRecord(f"block length {length} in a record with {len(rest)} bytes left")
    if n > length // _LEAST_ROW_BYTES:
        raise InvalidRecord(f"{n} rows do not fit a block of {length} bytes")
    columns_at = _HEADER.size + tenant_length
    try:
        tenant = str(rest[_HEADER.size : columns_at], "utf-8")
    except UnicodeDecodeError:
        raise InvalidRecord("tenant name is not UTF-8") from None
    header = Header(kind, tenant, receive_ms, retention_days, n, version)
    return BlockReader(header, rest[columns_at:length]), length

"""Content of the window stage's checkpoints on topic `checkpoints`."""

import msgspec
import numpy as np

from schemas.chunks import Format

_VERSION = 2
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


def _unpack(unpacked: bytes, version: int) -> Checkpoint:
    if version == 1:
        return _from_version_1(msgspec.msgpack.decode(unpacked, type=_Checkpoint1))
    return msgspec.msgpack.decode(unpacked, type=Checkpoint)


WINDOWS = Format("window", _VERSION, _unpack)

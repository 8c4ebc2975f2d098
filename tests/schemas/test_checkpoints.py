"""Checkpoints in chunks."""

import os
from collections.abc import Iterable

import cramjam
import msgspec
import pytest

from schemas.checkpoints import WINDOWS, Checkpoint, OpenState, PartitionState, TenantState
from schemas.chunks import MAX_CHUNK_BYTES, chunks_of, decode_chunk, newest_checkpoint, pack
from schemas.errors import InvalidRecord, UnknownVersion


def make(next_offset: int, size: int = 10) -> Checkpoint:
    arrays = OpenState(0, os.urandom(size), b"rows", b"heads", b"", b"chunks", [1, 1], True)
    state = TenantState("t", 60_000, 30, 1, 2, 3, 4, 5, 6, b"dirty", arrays)
    return Checkpoint(next_offset, PartitionState(4, 7, 8, [state]))


def encode(partition: int, sequence: int, checkpoint: Checkpoint) -> list[tuple[bytes, bytes]]:
    return list(chunks_of(WINDOWS, partition, sequence, pack(checkpoint)))


def newest(values: Iterable[bytes]) -> tuple[int, Checkpoint] | None:
    return newest_checkpoint(WINDOWS, [decode_chunk(WINDOWS, value) for value in values])


def test_a_large_checkpoint_is_put_together_again() -> None:
    checkpoint = make(5, 2 * MAX_CHUNK_BYTES)

    records = encode(3, 8, checkpoint)

    assert len(records) == 3
    assert {key for key, _ in records} == {f"window/3/0/{at}".encode() for at in range(3)}
    assert newest(value for _, value in reversed(records)) == (8, checkpoint)


def test_an_unfinished_checkpoint_leaves_the_one_before() -> None:
    """A kill between two chunks must not cost the state."""
    old, new = encode(0, 1, make(5)), encode(0, 2, make(9, MAX_CHUNK_BYTES))
    compacted = dict(old) | dict(new[:1])

    found = newest(compacted.values())

    assert found is not None
    assert found[0] == 1
    assert found[1].next_offset == 5


@pytest.mark.parametrize("n_of_first", [0, 1, 2, 3])
def test_two_writers_of_one_sequence_are_not_mixed(n_of_first: int) -> None:
    """A worker that was halted in the middle goes on after another one has taken its place."""
    old = encode(0, 1, make(5))
    halted = encode(0, 2, make(8, 2 * MAX_CHUNK_BYTES))
    second = encode(0, 2, make(9, 2 * MAX_CHUNK_BYTES))
    log = [*old, *halted[:n_of_first], *second, *halted[n_of_first:]]

    before = newest(value for _, value in log)
    after = newest(dict(log).values())

    assert before is not None
    assert before[1].next_offset in {8, 9}
    assert after is not None
    assert after[1].next_offset == {0: 8, 3: 9}.get(n_of_first, 5)


def test_no_chunks_are_no_checkpoint() -> None:
    assert newest([]) is None


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(UnknownVersion, match="version 99"):
        decode_chunk(WINDOWS, msgspec.msgpack.encode([99, 0, 0, 0, 1, b""]))


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode([]), b"\x05"])
def test_noise_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode_chunk(WINDOWS, payload)


def test_a_checkpoint_of_version_1_is_taken_over() -> None:
    """Its rows had no last field, its tenants one width and no sketches."""
    rows = bytes(range(76)) + bytes(range(100, 176))
    old = [5, 60_000, [["t", 30, 1, 2, 3, b"slots", rows, b"dirty"]]]
    packed = bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(old)))

    found = newest([msgspec.msgpack.encode([1, 0, 9, 0, 1, packed])])

    assert found is not None
    (tenant,) = found[1].windows.tenants
    assert (found[0], found[1].next_offset, tenant.width_ms, tenant.flags) == (9, 5, 60_000, 0)
    assert tenant.open.rows == rows[:76] + bytes(4) + rows[76:] + bytes(4)
    assert (tenant.open.slots, tenant.dirty, tenant.closed_until_ms) == (b"slots", b"dirty", 3)
    assert not tenant.open.has_sketches

"""How far a replay has come: written as one thing beside its store, so that it can go on."""

import os
from pathlib import Path

import cramjam
import msgspec

from ops.replay.plan import ReplayError
from schemas.checkpoints import PartitionState
from schemas.times import LAST_MS

VERSION = 1
_NAME = "checkpoint"


class ReplayState(msgspec.Struct, frozen=True):
    """All that was read before these offsets is in the replay's store, or in these engines.

    n_partitions: that the source spreads series over; 0: as the log has it. n_samples, first_ms,
    last_ms: of the samples read so far.
    """

    source: str
    from_ms: int
    to_ms: int
    n_partitions: int = 0
    next_offsets: dict[int, int] = {}
    engines: dict[int, PartitionState] = {}
    n_samples: int = 0
    n_unreadable: int = 0
    first_ms: int = LAST_MS
    last_ms: int = 0
    version: int = VERSION


def save(folder: Path, state: ReplayState) -> None:
    """Write the state; a crash at any moment leaves this one or the one before."""
    packed = cramjam.lz4.compress_block(msgspec.msgpack.encode(state))
    part = folder / f"{_NAME}.part"
    with part.open("wb") as file:
        file.write(bytes(packed))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / _NAME)


def exists(folder: Path) -> bool:
    """Whether one was written."""
    return (folder / _NAME).exists()


def load(folder: Path) -> ReplayState:
    """Read the state. Raises ReplayError without one, and for one of another version."""
    path = folder / _NAME
    try:
        unpacked = bytes(cramjam.lz4.decompress_block(path.read_bytes()))
        version = msgspec.msgpack.decode(unpacked, type=dict)["version"]
        if version != VERSION:
            raise ReplayError(
                f"{path} is of version {version}, this build writes {VERSION}: use the build that "
                "wrote it, or begin again with --overwrite"
            )
        return msgspec.msgpack.decode(unpacked, type=ReplayState)
    except FileNotFoundError:
        raise ReplayError(
            f"--resume: nothing to go on with, {path} is missing; leave --resume out"
        ) from None
    except (cramjam.DecompressionError, msgspec.DecodeError, KeyError) as error:
        raise ReplayError(
            f"{path} cannot be read ({error}): begin again with --overwrite"
        ) from None

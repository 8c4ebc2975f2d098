"""Content of the score stage's checkpoints on topic `checkpoints`."""

import msgspec

from schemas.chunks import Format

_VERSION = 1


class WidthState(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's scores of one width: see pipeline.scoring.width."""

    width_s: int
    no_room_until_ms: int
    forgotten_ms: int
    series: bytes
    shards: list[bytes]


class ScoresState(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's scores; layout: of the series' records.

    widths_digest: of which tenants which widths are scored. minutes: records of rollups that wait
    for the end of their window of five minutes. rules: those that series refer to, as JSON, by the
    index by which they do.
    """

    layout: int
    newest_ms: int
    widths_digest: bytes
    widths: list[WidthState]
    minutes: list[bytes] = []
    rules: dict[int, bytes] = {}


class ScoresCheckpoint(msgspec.Struct, array_like=True, frozen=True):
    """State of a partition's scores after all rollups before next_offset: one thing.

    series_offset: of topic series, up to where announcements have been read.
    """

    next_offset: int
    series_offset: int
    scores: ScoresState


def _unpack(unpacked: bytes, version: int) -> ScoresCheckpoint:
    del version
    return msgspec.msgpack.decode(unpacked, type=ScoresCheckpoint)


SCORES = Format("score", _VERSION, _unpack)
# What `observai anomaly warm` has learned from stored rollups, for the next start of a worker.
WARMED = Format("warmed", _VERSION, _unpack)

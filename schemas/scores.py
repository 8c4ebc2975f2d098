"""Record of topic `scores`: how anomalous closed windows are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.block import (
    BlockReader,
    Header,
    Kind,
    pack_floats,
    pack_integers,
    pack_plain,
    read_blocks,
    write_block,
)
from schemas.errors import InvalidRecord
from schemas.times import check_times

_DOUBLES = ("values", "expected", "lower", "upper")
_FLOATS = ("scores", "alarms", "learning_s")
COLUMNS = ("window_starts_ms", "series_ids", *_DOUBLES, *_FLOATS, "reasons")


@dataclass(frozen=True, slots=True)
class ScoreBlock:
    """Scores of one tenant and width, one row per series and window, shape (n,) each.

    values: of the window, as judged. scores, alarms, expected, lower, upper, learning_s and
    reasons are those of pipeline.anomaly.scores. receive_ms: of the rollups that were judged.
    """

    tenant: str
    receive_ms: int
    retention_days: int
    width_s: int
    window_starts_ms: NDArray[np.int64]
    series_ids: NDArray[np.uint64]
    values: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    scores: NDArray[np.float32]
    alarms: NDArray[np.float32]
    learning_s: NDArray[np.float32]
    reasons: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.series_ids)

    def take(self, rows: NDArray[np.int64]) -> "ScoreBlock":
        """Return these rows, in this order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def cut(self, start: int, end: int) -> "ScoreBlock":
        """Return rows start to end, without copying."""
        return replace(self, **{name: getattr(self, name)[start:end] for name in COLUMNS})


def check_scores(block: ScoreBlock) -> None:
    """Raise InvalidRecord for windows that the store cannot hold."""
    check_times(block.window_starts_ms)
    if (block.window_starts_ms % 1000).any():
        raise InvalidRecord("a window starts within a second")
    if not block.tenant or not block.retention_days:
        raise InvalidRecord("scores without a tenant or without a retention")


def encode_scores(blocks: Sequence[ScoreBlock]) -> bytes:
    """Encode blocks, at least one, as one record."""
    return b"".join(map(_encode, blocks))


def decode_scores(payload: bytes) -> list[ScoreBlock]:
    """Decode a record. Raises InvalidRecord or UnknownVersion."""
    return [_decode(reader) for reader in read_blocks(payload, frozenset({Kind.SCORES}))]


def _encode(block: ScoreBlock) -> bytes:
    header = Header(Kind.SCORES, block.tenant, block.receive_ms, block.retention_days, len(block))
    columns = [
        pack_plain(np.array([block.width_s]), "<u4"),
        pack_integers(block.window_starts_ms),
        pack_plain(block.series_ids, "<u8"),
        *(pack_floats(getattr(block, name)) for name in _DOUBLES),
        *(pack_plain(getattr(block, name), "<f4") for name in _FLOATS),
        pack_plain(block.reasons, "<u1"),
    ]
    return write_block(header, columns)


def _decode(reader: BlockReader) -> ScoreBlock:
    header = reader.header
    width_s = int(reader.plain(1, "<u4")[0])
    starts = reader.integers()
    ids = reader.plain(header.n, "<u8").astype(np.uint64, copy=False)
    columns: list[Any] = [reader.floats() for _ in _DOUBLES]
    columns += [reader.plain(header.n, "<f4").astype(np.float32, copy=False) for _ in _FLOATS]
    columns.append(reader.plain(header.n, "<u1").astype(np.uint8, copy=False))
    reader.finish()
    head = (header.tenant, header.receive_ms, header.retention_days, width_s)
    return ScoreBlock(*head, starts, ids, *columns)

"""Closed minutes that wait until the window of five minutes that they are in is complete."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.coarsen import coarsen
from pipeline.rows import ROW, Rows
from schemas.rollups import (
    COLUMNS,
    CloseBlock,
    RollupBlock,
    decode_rollups,
    encode_rollups,
    join_rollups,
)

WIDTH_S, MADE_OF_S = 300, 60
_BYTES_PER_ROW = 76
# Of the type ROW, and what a block calls the same.
_NAMES = {
    "window_ms": "window_starts_ms",
    "series_id": "series_ids",
    "count": "counts",
    "sum": "sums",
    "min": "mins",
    "max": "maxs",
    "first": "firsts",
    "last": "lasts",
    "increase": "increases",
}


class Minutes:
    """Minutes of those tenants whose windows of five minutes are scored, at most max_bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._blocks: dict[str, list[RollupBlock]] = {}
        self._n_rows = 0
        self.n_forgotten = 0

    def n_bytes(self) -> int:
        """Return the memory of what waits."""
        return self._n_rows * _BYTES_PER_ROW

    def hold(self, block: RollupBlock) -> None:
        """Keep a block's minutes; where that is more than there is memory for, none at all."""
        if len(block):
            self._blocks.setdefault(block.tenant, []).append(_without_sketches(block))
            self._n_rows += len(block)
        if self.n_bytes() > self._max_bytes:
            self.n_forgotten += self._n_rows
            self._blocks.clear()
            self._n_rows = 0

    def take(self, close: CloseBlock) -> RollupBlock | None:
        """Return the windows that a close has completed, None where none has minutes."""
        held = self._blocks.get(close.tenant)
        if not held:
            return None
        block = join_rollups(held)
        starts_ms = block.window_starts_ms
        later = _rows_of(block, starts_ms >= close.until_ms)
        self._keep(close.tenant, [later] if len(later) else [])
        block = _rows_of(block, (starts_ms >= close.from_ms) & (starts_ms < close.until_ms))
        if not len(block):
            return None
        return _coarse(block, close)

    def snapshot(self) -> list[bytes]:
        """Return all that waits, for `restore`."""
        return [encode_rollups(blocks) for blocks in self._blocks.values() if blocks]

    def restore(self, state: Sequence[bytes]) -> None:
        """Take a snapshot."""
        for record in state:
            blocks = [one for one in decode_rollups(record) if isinstance(one, RollupBlock)]
            self._keep(blocks[0].tenant, blocks)

    def _keep(self, tenant: str, blocks: list[RollupBlock]) -> None:
        self._n_rows += sum(map(len, blocks)) - sum(map(len, self._blocks.pop(tenant, [])))
        if blocks:
            self._blocks[tenant] = blocks


def _without_sketches(block: RollupBlock) -> RollupBlock:
    none = np.zeros(len(block), dtype=np.uint32)
    return replace(block, sketch_lengths=none, sketch=np.zeros(0, dtype=np.uint32))


def _rows_of(block: RollupBlock, keep: NDArray[np.bool_]) -> RollupBlock:
    columns = {name: getattr(block, name)[keep] for name in COLUMNS if name != "sketch"}
    return replace(block, **columns)


def _coarse(block: RollupBlock, close: CloseBlock) -> RollupBlock:
    rows = np.zeros(len(block), dtype=ROW)
    for name, column in _NAMES.items():
        rows[name] = getattr(block, column)
    rows = rows[np.lexsort((rows["window_ms"], rows["series_id"]))]
    # A minute published again after a crash counts once: of alike keys the first to come is first.
    keys = rows[["series_id", "window_ms"]]
    rows = rows[np.concatenate([[True], keys[1:] != keys[:-1]])]
    no_sketch = np.zeros(len(rows), dtype=np.uint32), np.zeros(0, dtype=np.uint32)
    made = coarsen(Rows(rows, *no_sketch), WIDTH_S * 1000).rows
    columns = {column: np.ascontiguousarray(made[name]) for name, column in _NAMES.items()}
    return RollupBlock(
        tenant=close.tenant,
        receive_ms=close.receive_ms,
        retention_days=close.retention_days,
        width_s=WIDTH_S,
        sketch_lengths=np.zeros(len(made), dtype=np.uint32),
        sketch=np.zeros(0, dtype=np.uint32),
        **columns,
    )

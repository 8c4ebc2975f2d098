"""Open windows of one tenant's series: slots, pending rows and sketches, as growing arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arena import (
    CHUNK_WORDS,
    HEAD_WORDS,
    grown_arena,
    move_chains,
    new_arena,
    take_sketches,
)
from pipeline.rows import ROW, Rows
from pipeline.slots import LOOKBACK_MS, NO_WINDOW, SLOT
from pipeline.stretches import NO_STRETCHES, STRETCH, stretches_of
from pipeline.window_state import STRIDE, count_closed, fold, index_slots, take_closed
from schemas.checkpoints import OpenState
from schemas.samples import SampleBlock

_LEAST_CAPACITY = 64
_LEAST_CHUNKS = 32


class OpenWindows:
    """What is open, and what has left its slot but is not closed yet.

    Series that were evicted may come back, and of their windows some samples are forgotten then.
    So series that are new before novice_until_ms are novices, and their rows before it partial.
    """

    def __init__(self, width_ms: int) -> None:
        self._width_ms = width_ms
        self._novice_until_ms = int(NO_WINDOW)
        self._slots = np.zeros(_LEAST_CAPACITY, dtype=SLOT)
        self._n_slots = 0
        self._index = np.full(2 * _LEAST_CAPACITY, -1, dtype=np.int32)
        self._rows = np.zeros(_LEAST_CAPACITY, dtype=ROW)
        self._n_rows = 0
        # A head for each slot and each row; none where sketches are off.
        self._heads = np.zeros((0, HEAD_WORDS), dtype=np.uint32)
        self._row_heads = np.zeros((0, HEAD_WORDS), dtype=np.uint32)
        self._chunks, self._free = new_arena(0)

    @property
    def has_sketches(self) -> bool:
        """Whether windows are sketched."""
        return len(self._heads) > 0

    @property
    def has_novices(self) -> bool:
        """Whether rows may be partial."""
        return self._novice_until_ms != NO_WINDOW

    def __len__(self) -> int:
        return self._n_slots

    def n_bytes(self) -> int:
        """Return the memory of all arrays."""
        arrays: tuple[NDArray[Any], ...] = (
            *(self._slots, self._index, self._rows),
            *(self._heads, self._row_heads, self._chunks),
        )
        return sum(array.nbytes for array in arrays)

    def set_sketches(self, *, are_on: bool) -> None:
        """Begin or end to sketch; what is open then has no sketch of all its samples."""
        n_slots, n_rows = (len(self._slots), len(self._rows)) if are_on else (0, 0)
        self._heads = np.zeros((n_slots, HEAD_WORDS), dtype=np.uint32)
        self._row_heads = np.zeros((n_rows, HEAD_WORDS), dtype=np.uint32)
        self._chunks, self._free = new_arena(_LEAST_CHUNKS if are_on else 0)

    def feed(self, block: SampleBlock, closed_until_ms: int) -> NDArray[np.void]:
        """Fold a block; return the stretches to compute again, one for each late sample."""
        n = len(block)
        stretches = np.empty(_LEAST_CAPACITY, dtype=STRETCH)
        done, n_stretches = 0, 0
        while True:
            done, self._n_slots, self._n_rows, n_stretches = fold(
                block.series_ids,
                block.times_ms,
                block.values.view(np.uint64),
                block.values,
                done,
                self._width_ms,
                closed_until_ms,
                self._novice_until_ms,
                self._index,
                self._slots,
                self._n_slots,
                self._rows,
                self._n_rows,
                self._heads,
                self._row_heads,
                self._chunks,
                self._free,
                stretches,
                n_stretches,
            )
            if done == n:
                return stretches[:n_stretches]
            stretches = with_room(stretches, n_stretches, 1)
            self._make_room()

    def take_closed(self, closed_until_ms: int) -> Rows:
        """Return the windows that start before a time, and forget what only they needed."""
        pending = (self._slots, self._n_slots, self._rows, self._n_rows, closed_until_ms)
        n_needed = self._n_rows
        n = count_closed(*pending)
        closed = np.empty(n, dtype=ROW)
        heads = np.zeros((n if self.has_sketches else 0, HEAD_WORDS), dtype=np.uint32)
        self._n_rows = take_closed(
            *pending, self._novice_until_ms, self._heads, self._row_heads, closed, heads
        )
        rows = self._rows_of(closed, heads)
        self._forget_silent_series(closed_until_ms)
        self._shrink(n_needed)
        return rows

    def evict(self) -> NDArray[np.void]:
        """Forget a quarter of the series, those silent for longest, and all pending rows.

        Returns the stretches that stand in for them: their windows, and those that may follow.
        """
        slots, n_gone = self._slots[: self._n_slots], -(-self._n_slots // 4)
        gone = np.zeros(self._n_slots, dtype=np.bool_)
        gone[np.argpartition(slots["newest_ms"], n_gone - 1)[:n_gone]] = True
        newest_ms = int(slots["newest_ms"][gone].max())
        horizon_ms = newest_ms + LOOKBACK_MS + self._width_ms
        self._novice_until_ms = max(self._novice_until_ms, horizon_ms)
        lost = slots[gone & (slots["window_ms"] != NO_WINDOW)]
        pending = self._rows[: self._n_rows]
        stretches = np.concatenate(
            [self.reach_of(one["series_id"], one["window_ms"]) for one in (lost, pending)]
        )
        take_sketches(self._heads[: self._n_slots][gone[: len(self._heads)]], *self._arena())
        take_sketches(self._row_heads[: self._n_rows], *self._arena())
        self._n_rows = 0
        self._keep_slots(~gone)
        self._shrink(0)
        return stretches

    def reach_of(
        self, series_ids: NDArray[np.uint64], window_ms: NDArray[np.int64]
    ) -> NDArray[np.void]:
        """Return the stretches of windows whose samples are not all known.

        An unknown sample may also be what the `increase` of the next 5 minutes starts from.
        """
        if not len(series_ids):
            return NO_STRETCHES
        reach_ms = (self._width_ms - 1 + LOOKBACK_MS) // self._width_ms * self._width_ms
        return stretches_of(series_ids, window_ms, window_ms + reach_ms)

    def snapshot(self) -> OpenState:
        """Return all that `restore` needs."""
        return OpenState(
            self._novice_until_ms,
            self._slots[: self._n_slots].tobytes(),
            self._rows[: self._n_rows].tobytes(),
            self._heads[: self._n_slots].tobytes(),
            self._row_heads[: self._n_rows].tobytes(),
            self._chunks.tobytes(),
            self._free.tolist(),
            self.has_sketches,
        )

    @classmethod
    def restore(cls, state: OpenState, width_ms: int) -> "OpenWindows":
        """Return the windows as they were when the snapshot was taken."""
        self = cls(width_ms)
        self._novice_until_ms = state.novice_until_ms
        rows = np.frombuffer(state.rows, dtype=ROW)
        self._n_rows = len(rows)
        self._rows = with_room(rows, len(rows), 1)
        slots = np.frombuffer(state.slots, dtype=SLOT)
        self._n_slots = len(slots)
        self._slots = with_room(slots, len(slots), _LEAST_CAPACITY)
        if state.has_sketches:
            heads = np.frombuffer(state.heads, dtype=np.uint32).reshape(-1, HEAD_WORDS)
            self._heads = with_room(heads, len(heads), len(self._slots) - len(heads))
            row_heads = np.frombuffer(state.row_heads, dtype=np.uint32).reshape(-1, HEAD_WORDS)
            self._row_heads = with_room(row_heads, len(row_heads), len(self._rows) - len(rows))
            chunks = np.frombuffer(state.chunks, dtype=np.uint32)
            self._chunks = chunks.reshape(-1, CHUNK_WORDS).copy()
            self._free = np.array(state.free, dtype=np.int64)
        self._index_anew()
        return self

    def _arena(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        return self._chunks, self._free

    def _rows_of(self, rows: NDArray[np.void], row_heads: NDArray[np.uint32]) -> Rows:
        if not self.has_sketches:
            return Rows(rows, np.zeros(len(rows), np.uint32), np.zeros(0, np.uint32))
        return Rows(rows, *take_sketches(row_heads, *self._arena()))

    def _forget_silent_series(self, closed_until_ms: int) -> None:
        """Drop series whose newest sample no later one can refer to, once they are a quarter."""
        slots = self._slots[: self._n_slots]
        keep = (slots["newest_ms"] >= closed_until_ms - LOOKBACK_MS) | (
            slots["window_ms"] != NO_WINDOW
        )
        if self._n_slots - int(keep.sum()) > self._n_slots // 4:
            self._keep_slots(keep)

    def _keep_slots(self, keep: NDArray[np.bool_]) -> None:
        slots, heads = self._slots[: self._n_slots][keep], self._heads
        self._n_slots = len(slots)
        self._slots = with_room(slots, len(slots), _LEAST_CAPACITY)
        if self.has_sketches:
            heads = heads[: len(keep)][keep]
            self._heads = with_room(heads, len(heads), len(self._slots) - len(heads))
        self._index_anew()

    def _shrink(self, n_needed: int) -> None:
        """Give back rows and arena where a quarter would do; n_needed: rows that were pending."""
        if len(self._rows) > 4 * max(n_needed, _LEAST_CAPACITY):
            n_more = _LEAST_CAPACITY + n_needed - self._n_rows
            self._rows = with_room(self._rows[: self._n_rows].copy(), self._n_rows, n_more)
            if self.has_sketches:
                heads = self._row_heads[: self._n_rows]
                self._row_heads = with_room(heads, len(heads), len(self._rows) - len(heads))
        n_used = len(self._chunks) - int(self._free[1])
        if len(self._chunks) <= _LEAST_CHUNKS or 4 * n_used > len(self._chunks):
            return
        chunks, free = new_arena(max(2 * n_used, _LEAST_CHUNKS))
        for heads in (self._heads[: self._n_slots], self._row_heads[: self._n_rows]):
            move_chains(heads, self._chunks, chunks, free)
        self._chunks, self._free = chunks, free

    def _make_room(self) -> None:
        """Grow what the fold has found full: it may be any of these."""
        if self._n_slots + STRIDE > len(self._slots):
            self._slots = with_room(self._slots, self._n_slots, STRIDE)
            if self.has_sketches:
                n_more = len(self._slots) - self._n_slots
                self._heads = with_room(self._heads, self._n_slots, n_more)
            self._index_anew()
        self._rows = with_room(self._rows, self._n_rows, 1)
        if self.has_sketches:
            n_more = len(self._rows) - self._n_rows
            self._row_heads = with_room(self._row_heads, self._n_rows, n_more)
            if self._free[1] == 0:
                n_chunks = 2 * len(self._chunks)
                self._chunks, self._free = grown_arena(self._chunks, self._free, n_chunks)

    def _index_anew(self) -> None:
        self._index = np.full(2 * power_of_two(len(self._slots)), -1, dtype=np.int32)
        index_slots(self._index, self._slots, self._n_slots)


def with_room(array: NDArray[Any], used: int, more: int) -> NDArray[Any]:
    """Return the array, or a copy of what is used, with room for so many more."""
    if used + more <= len(array) and array.flags.writeable:
        return array
    grown = np.zeros((power_of_two(used + more), *array.shape[1:]), dtype=array.dtype)
    grown[:used] = array[:used]
    return grown


def power_of_two(least: int) -> int:
    """Return the least power of two, from 2 on, that is not below."""
    return 1 << max(least - 1, 1).bit_length()

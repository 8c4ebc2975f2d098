"""The window engine: samples of one partition in, closed windows and windows to recompute out."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.rows import ROW
from pipeline.watermark import BEGINNING_MS, Watermark
from pipeline.window_state import (
    LOOKBACK_MS,
    NO_WINDOW,
    SLOT,
    STRETCH,
    close_slots,
    fold,
    index_slots,
)
from schemas.checkpoints import TenantState
from schemas.samples import SampleBlock

_LEAST_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """Width of the windows, and how the watermark moves (see Watermark)."""

    width_ms: int = 60_000
    allowed_lateness_ms: int = 10_000
    skew_ms: int = 2_000
    idle_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class Closed:
    """What one tenant's advance of the watermark gave.

    rows: records of window_state.ROW, each window of a series once. recompute: uint64 ids and
    int64 window starts of windows to compute again from the stored samples.
    """

    tenant: str
    retention_days: int
    receive_ms: int
    rows: NDArray[np.void]
    recompute_ids: NDArray[np.uint64]
    recompute_starts_ms: NDArray[np.int64]


class TenantWindows:
    """Open windows of one tenant's series on one partition."""

    def __init__(self, tenant: str, config: WindowConfig) -> None:
        self.tenant = tenant
        self.retention_days = 0
        self.watermark = Watermark(config.allowed_lateness_ms, config.skew_ms, config.idle_ms)
        self.closed_until_ms = BEGINNING_MS
        self.n_late = 0
        self._width_ms = config.width_ms
        self._slots = np.zeros(_LEAST_CAPACITY, dtype=SLOT)
        self._n_slots = 0
        self._index = np.full(2 * _LEAST_CAPACITY, -1, dtype=np.int32)
        self._rows = np.zeros(0, dtype=ROW)
        self._n_rows = 0
        self._dirty = np.zeros(0, dtype=STRETCH)

    def feed(self, block: SampleBlock) -> None:
        """Fold a block of this tenant and let its times move the watermark."""
        n = len(block)
        self._make_room(n)
        stretches = np.zeros(n, dtype=STRETCH)
        self._n_slots, self._n_rows, n_late = fold(
            block.series_ids,
            block.times_ms,
            block.values.view(np.uint64),
            block.values,
            self._width_ms,
            self.closed_until_ms,
            self._index,
            self._slots,
            self._n_slots,
            self._rows,
            self._n_rows,
            stretches,
        )
        self.retention_days = block.retention_days
        self.watermark.observe(int(block.times_ms.max()), block.receive_ms)
        if n_late:
            self.n_late += n_late
            self._dirty = np.concatenate((self._dirty, stretches[:n_late]))

    def take_closed(self, receive_ms: int) -> Closed | None:
        """Return what the watermark has closed since the last call, or None for nothing."""
        until_ms = self.watermark.value_ms // self._width_ms * self._width_ms
        advanced = until_ms > self.closed_until_ms
        if not advanced and not len(self._dirty):
            return None
        rows = self._rows[:0]
        if advanced:
            self.closed_until_ms = until_ms
            rows = self._take_rows()
            self._forget_silent_series()
        ids, starts_ms = self._take_dirty()
        if not len(rows) and not len(ids):
            return None
        return Closed(self.tenant, self.retention_days, receive_ms, rows, ids, starts_ms)

    def _take_rows(self) -> NDArray[np.void]:
        self._rows = _with_room(self._rows, self._n_rows, self._n_slots)
        n_rows = close_slots(
            self._slots, self._n_slots, self.closed_until_ms, self._rows, self._n_rows
        )
        rows = self._rows[:n_rows]
        is_closed = rows["window_ms"] < self.closed_until_ms
        closed, still_open = rows[is_closed], rows[~is_closed]
        self._rows, self._n_rows = still_open, len(still_open)
        return closed

    def _take_dirty(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return each closed window of the stretches once, and keep the open ones."""
        dirty = self._dirty
        if not len(dirty):
            return dirty["series_id"], dirty["first_ms"]
        last_closed_ms = self.closed_until_ms - self._width_ms
        now = dirty[dirty["first_ms"] <= last_closed_ms]
        counts = (
            np.minimum(now["last_ms"], last_closed_ms) - now["first_ms"]
        ) // self._width_ms + 1
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs = np.empty(len(steps), dtype=[("id", "<u8"), ("start_ms", "<i8")])
        pairs["id"] = np.repeat(now["series_id"], counts)
        pairs["start_ms"] = np.repeat(now["first_ms"], counts) + steps * self._width_ms
        pairs = np.unique(pairs)
        later = dirty[dirty["last_ms"] > last_closed_ms]
        later["first_ms"] = np.maximum(later["first_ms"], self.closed_until_ms)
        self._dirty = np.unique(later)
        return np.ascontiguousarray(pairs["id"]), np.ascontiguousarray(pairs["start_ms"])

    def _forget_silent_series(self) -> None:
        """Drop series whose newest sample no later one can refer to, once they are a quarter."""
        slots = self._slots[: self._n_slots]
        keep = (slots["newest_ms"] >= self.closed_until_ms - LOOKBACK_MS) | (
            slots["window_ms"] != NO_WINDOW
        )
        n_kept = int(keep.sum())
        if self._n_slots - n_kept > self._n_slots // 4:
            self._replace_slots(slots[keep])

    def _make_room(self, n: int) -> None:
        self._rows = _with_room(self._rows, self._n_rows, n)
        if self._n_slots + n > len(self._slots):
            self._slots = _with_room(self._slots, self._n_slots, n)
            self._index_anew()

    def _replace_slots(self, slots: NDArray[np.void]) -> None:
        self._n_slots = len(slots)
        self._slots = _with_room(slots, len(slots), _LEAST_CAPACITY)
        self._index_anew()

    def _index_anew(self) -> None:
        self._index = np.full(2 * _power_of_two(len(self._slots)), -1, dtype=np.int32)
        index_slots(self._index, self._slots, self._n_slots)

    def snapshot(self) -> TenantState:
        """Return all that `restore` needs."""
        return TenantState(
            self.tenant,
            self.retention_days,
            self.watermark.value_ms,
            self.watermark.last_receive_ms,
            self.closed_until_ms,
            self._slots[: self._n_slots].tobytes(),
            self._rows[: self._n_rows].tobytes(),
            self._dirty.tobytes(),
        )

    @classmethod
    def restore(cls, state: TenantState, config: WindowConfig) -> "TenantWindows":
        """Return the engine as it was when the snapshot was taken."""
        self = cls(state.tenant, config)
        self.retention_days = state.retention_days
        self.watermark.value_ms = state.watermark_ms
        self.watermark.last_receive_ms = state.last_receive_ms
        self.closed_until_ms = state.closed_until_ms
        self._replace_slots(np.frombuffer(state.slots, dtype=SLOT))
        self._rows = np.frombuffer(state.rows, dtype=ROW).copy()
        self._n_rows = len(self._rows)
        self._dirty = np.frombuffer(state.dirty, dtype=STRETCH).copy()
        return self


class PartitionWindows:
    """Windows of all tenants on one partition."""

    def __init__(self, config: WindowConfig, tenants: Iterable[TenantState] = ()) -> None:
        self._config = config
        self._tenants = {state.tenant: TenantWindows.restore(state, config) for state in tenants}

    def feed(self, blocks: Iterable[SampleBlock]) -> list[Closed]:
        """Fold the blocks of one record and return what it closed.

        An empty block is a tick: its receive time moves the watermarks of silent tenants.
        """
        touched: dict[str, TenantWindows] = {}
        receive_ms = BEGINNING_MS
        for block in blocks:
            receive_ms = max(receive_ms, block.receive_ms)
            if len(block):
                windows = self._tenants.get(block.tenant)
                if windows is None:
                    windows = TenantWindows(block.tenant, self._config)
                    self._tenants[block.tenant] = windows
                windows.feed(block)
                touched[block.tenant] = windows
            else:
                self._advance_idle(block.receive_ms)
                touched = self._tenants
        closed = (windows.take_closed(receive_ms) for windows in touched.values())
        return [one for one in closed if one is not None]

    def take_late(self) -> int:
        """Return how many late samples came since the last call."""
        n_late = sum(windows.n_late for windows in self._tenants.values())
        for windows in self._tenants.values():
            windows.n_late = 0
        return n_late

    def slowest_watermark_ms(self) -> int | None:
        """Return the least watermark of the tenants, None before the first sample."""
        return min((one.watermark.value_ms for one in self._tenants.values()), default=None)

    def snapshot(self) -> list[TenantState]:
        """Return the state of all tenants, for the constructor."""
        return [windows.snapshot() for windows in self._tenants.values()]

    def _advance_idle(self, receive_ms: int) -> None:
        for windows in self._tenants.values():
            windows.watermark.advance_idle(receive_ms)


def _with_room(array: NDArray[np.void], used: int, more: int) -> NDArray[np.void]:
    """Return the array, or a copy of what is used, with room for so many more."""
    if used + more <= len(array):
        return array
    grown = np.zeros(_power_of_two(used + more), dtype=array.dtype)
    grown[:used] = array[:used]
    return grown


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()

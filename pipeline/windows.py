"""The window engine: samples of one partition in, closed windows and windows to recompute out."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.rows import Rows
from pipeline.tenant_windows import Advance, TenantWindows, WindowConfig, blind_until
from pipeline.watermark import BEGINNING_MS
from schemas.checkpoints import PartitionState
from schemas.samples import FINE_WINDOWS, REMAPPED, SampleBlock

__all__ = [
    "COARSE_WIDTHS_MS",
    "FINE_WIDTH_MS",
    "Close",
    "Closed",
    "PartitionWindows",
    "WindowConfig",
]

FINE_WIDTH_MS = 10_000
# Made in the store of the next finer ones; here it is only said when.
COARSE_WIDTHS_MS = (300_000, 3_600_000)
_HOUR_MS = 3_600_000
UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Close:
    """Coarse windows that start in [from_ms, until_ms) can be made of finer ones.

    n_partitions: of topic samples, so that the range of ids is known; 0: of all series.
    """

    width_ms: int
    from_ms: int
    until_ms: int
    n_partitions: int


@dataclass(frozen=True, slots=True)
class Closed:
    """What one tenant's advance of the watermark gave in one width.

    stretches: of type STRETCH, by series and time, windows to compute again from the stored
    samples. closed_until_ms: up to which minute's windows are closed.
    """

    tenant: str
    retention_days: int
    receive_ms: int
    width_ms: int
    flags: int
    closed_until_ms: int
    rows: Rows
    stretches: NDArray[np.void]
    closes: tuple[Close, ...] = ()


class PartitionWindows:
    """Windows of all tenants on one partition.

    state: what `snapshot` gave, None at the beginning of the log. starts_blind: records before
    the next one are missing from the state. max_bytes: with more memory, series are evicted.
    """

    def __init__(
        self,
        config: WindowConfig,
        state: PartitionState | None = None,
        *,
        starts_blind: bool = False,
        max_bytes: int = UNBOUNDED,
    ) -> None:
        state = state or PartitionState(0, BEGINNING_MS, BEGINNING_MS, [])
        self._config = config
        self._max_bytes = max_bytes
        self._is_blind_from_next = starts_blind
        self._n_partitions = state.n_partitions
        self._blind_until_ms = state.blind_until_ms
        # Series have been on other partitions: closes are for all of them.
        self._spread_until_ms = state.spread_until_ms
        restored = (TenantWindows.restore(one, config) for one in state.tenants)
        self._windows = {(one.tenant, one.width_ms): one for one in restored}
        self._n_bytes = sum(one.n_bytes() for one in self._windows.values())
        self.n_evicted = 0

    def feed(self, blocks: Iterable[SampleBlock]) -> list[Closed]:
        """Fold the blocks of one record and return what it closed.

        An empty block is a tick: its receive time moves the watermarks of silent tenants.
        """
        touched: dict[tuple[str, int], TenantWindows] = {}
        receive_ms = BEGINNING_MS
        for block in blocks:
            receive_ms = max(receive_ms, block.receive_ms)
            self._note_partitions(block)
            if len(block):
                for windows in self._windows_of(block):
                    n_before = windows.n_bytes()
                    windows.feed(block)
                    self._n_bytes += windows.n_bytes() - n_before
                    touched[windows.tenant, windows.width_ms] = windows
            else:
                self._advance_idle(block.receive_ms)
                touched = self._windows
        closed = [self._take_closed(windows, receive_ms) for windows in touched.values()]
        self._keep_in_budget()
        return [one for one in closed if one is not None]

    def n_bytes(self) -> int:
        """Return the memory of all tenants' windows."""
        return self._n_bytes

    def n_series(self) -> int:
        """Return how many series are remembered, once for each width."""
        return sum(one.n_series() for one in self._windows.values())

    def closed_until_ms(self) -> dict[str, int]:
        """Return by tenant up to when its windows of all widths are closed."""
        found: dict[str, int] = {}
        for (tenant, _), one in self._windows.items():
            found[tenant] = min(found.get(tenant, one.closed_until_ms), one.closed_until_ms)
        return found

    def take_late(self) -> int:
        """Return how many late samples came since the last call."""
        minutes = [one for one in self._windows.values() if one.width_ms == self._config.width_ms]
        n_late = sum(windows.n_late for windows in minutes)
        for windows in minutes:
            windows.n_late = 0
        return n_late

    def take_evicted(self) -> int:
        """Return how many series were evicted since the last call."""
        n_evicted, self.n_evicted = self.n_evicted, 0
        return n_evicted

    def slowest_watermark_ms(self) -> int | None:
        """Return the least watermark of the tenants, None before the first sample."""
        return min((one.watermark.value_ms for one in self._windows.values()), default=None)

    def snapshot(self) -> PartitionState:
        """Return the state of all tenants, for the constructor."""
        return PartitionState(
            self._n_partitions,
            self._blind_until_ms,
            self._spread_until_ms,
            [windows.snapshot() for windows in self._windows.values()],
        )

    def _note_partitions(self, block: SampleBlock) -> None:
        """Be blind where samples came another way before, and while edges disagree on the way."""
        n_partitions = block.n_partitions
        differs = n_partitions and self._n_partitions and n_partitions != self._n_partitions
        is_remapped = bool(differs) or bool(block.flags & REMAPPED)
        self._n_partitions = max(self._n_partitions, n_partitions)
        if not is_remapped and not self._is_blind_from_next:
            return
        self._is_blind_from_next = False
        until_ms = blind_until(block.receive_ms, self._config.width_ms)
        self._blind_until_ms = max(self._blind_until_ms, until_ms)
        self._spread_until_ms = -(-self._blind_until_ms // _HOUR_MS) * _HOUR_MS

    def _windows_of(self, block: SampleBlock) -> list[TenantWindows]:
        minute, is_new = self._of(block.tenant, self._config.width_ms)
        is_fine = bool(block.flags & FINE_WINDOWS)
        if not is_fine and (block.tenant, FINE_WIDTH_MS) not in self._windows:
            return [minute]
        fine, is_new_fine = self._of(block.tenant, FINE_WIDTH_MS)
        if is_new_fine and not is_new:
            fine.closed_until_ms = minute.closed_until_ms
            fine.blind(block.receive_ms)
        fine.want(is_wanted=is_fine, receive_ms=block.receive_ms)
        return [minute, fine]

    def _of(self, tenant: str, width_ms: int) -> tuple[TenantWindows, bool]:
        windows = self._windows.get((tenant, width_ms))
        if windows is not None:
            return windows, False
        windows = TenantWindows(tenant, self._config, width_ms)
        self._windows[tenant, width_ms] = windows
        self._n_bytes += windows.n_bytes()
        return windows, True

    def _take_closed(self, windows: TenantWindows, receive_ms: int) -> Closed | None:
        before_ms, n_before = windows.closed_until_ms, windows.n_bytes()
        advance = windows.take_closed(self._blind_until_ms)
        self._n_bytes += windows.n_bytes() - n_before
        if advance is None:
            return None
        minute = self._windows[windows.tenant, self._config.width_ms]
        closes = () if windows is not minute else self._closes(before_ms, windows, advance)
        if not len(advance.rows) and not len(advance.stretches) and not closes:
            return None
        return Closed(
            windows.tenant,
            windows.retention_days,
            receive_ms,
            windows.width_ms,
            windows.flags,
            minute.closed_until_ms,
            advance.rows,
            advance.stretches,
            closes,
        )

    def _closes(
        self, before_ms: int, windows: TenantWindows, advance: Advance
    ) -> tuple[Close, ...]:
        """Return which coarse windows an advance of the minutes from before_ms has completed."""
        until_ms = windows.closed_until_ms
        if until_ms == before_ms:
            return ()
        n_before = 0
        if before_ms == BEGINNING_MS:
            # What went before a blind start may not have been said.
            n_before = int(self._blind_until_ms != BEGINNING_MS)
            starts = (advance.rows.rows["window_ms"], advance.stretches["first_ms"])
            before_ms = min((int(one.min()) for one in starts if len(one)), default=until_ms)
        closes = []
        for width_ms in COARSE_WIDTHS_MS:
            from_ms = max(0, (before_ms // width_ms - n_before) * width_ms)
            to_ms = until_ms // width_ms * width_ms
            if from_ms < to_ms:
                n_partitions = 0 if from_ms < self._spread_until_ms else self._n_partitions
                closes.append(Close(width_ms, from_ms, to_ms, n_partitions))
        return tuple(closes)

    def _keep_in_budget(self) -> None:
        """Evict series, the largest tenant's first, until the rest fits or nothing is left."""
        while self._n_bytes > self._max_bytes:
            largest = max(self._windows.values(), key=TenantWindows.n_bytes)
            n_series, n_before = largest.n_series(), largest.n_bytes()
            if not n_series:
                return
            largest.evict()
            self.n_evicted += n_series - largest.n_series()
            self._n_bytes += largest.n_bytes() - n_before

    def _advance_idle(self, receive_ms: int) -> None:
        for windows in self._windows.values():
            windows.watermark.advance_idle(receive_ms)

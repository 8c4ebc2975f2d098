"""Windows of one tenant and width: what the watermark closes, and what must be computed again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.open_windows import OpenWindows
from pipeline.rows import ROW, Rows
from pipeline.slots import LOOKBACK_MS
from pipeline.stretches import NO_STRETCHES, STRETCH, merge, split_at
from pipeline.watermark import BEGINNING_MS, Watermark
from schemas.checkpoints import TenantState
from schemas.samples import SKETCHES, SampleBlock

NEVER_MS = 1 << 62
# Samples may be ahead of their receive time by some minutes: max_future_s.
AHEAD_MS = 600_000
_MERGE_ABOVE = 4096
NO_ROWS = Rows(np.zeros(0, ROW), np.zeros(0, np.uint32), np.zeros(0, np.uint32))


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """Width of the windows, and how the watermark moves (see Watermark)."""

    width_ms: int = 60_000
    allowed_lateness_ms: int = 10_000
    skew_ms: int = 2_000
    idle_ms: int = 15_000


def blind_until(receive_ms: int, width_ms: int) -> int:
    """Return from which window on no sample from before receive_ms matters."""
    return receive_ms + AHEAD_MS + LOOKBACK_MS + width_ms


@dataclass(frozen=True, slots=True)
class Advance:
    """What closed since the last call: rows, each window of a series once, and stretches."""

    rows: Rows
    stretches: NDArray[np.void]


class TenantWindows:
    """Windows of one tenant's series on one partition, of one width.

    Windows before blind_until_ms are blind: some of their samples may be unknown here, so they
    leave as stretches. Windows from ends_ms on are not wanted.
    """

    def __init__(self, tenant: str, config: WindowConfig, width_ms: int) -> None:
        self.tenant = tenant
        self.width_ms = width_ms
        self.retention_days = 0
        self.flags = 0
        self.watermark = Watermark(config.allowed_lateness_ms, config.skew_ms, config.idle_ms)
        self.closed_until_ms = BEGINNING_MS
        self.blind_until_ms = BEGINNING_MS
        self.ends_ms = NEVER_MS
        self.n_late = 0
        self._open = OpenWindows(width_ms)
        self._new: list[NDArray[np.void]] = []
        self._later = NO_STRETCHES
        self._n_merged = 0

    def feed(self, block: SampleBlock) -> None:
        """Fold a block of this tenant and let its times move the watermark."""
        self._take_flags(block)
        stretches = self._open.feed(block, self.closed_until_ms)
        self.retention_days = block.retention_days
        self.watermark.observe(int(block.times_ms.max()), block.receive_ms)
        if len(stretches):
            self.n_late += len(stretches)
            self._new.append(stretches)

    def blind(self, receive_ms: int) -> None:
        """Take it that samples received before are unknown here."""
        until_ms = blind_until(receive_ms, self.width_ms)
        self.blind_until_ms = max(self.blind_until_ms, until_ms)

    def want(self, *, is_wanted: bool, receive_ms: int) -> None:
        """Begin or end with the windows that start after the one of receive_ms."""
        if is_wanted:
            self.ends_ms = NEVER_MS
        elif self.ends_ms == NEVER_MS:
            self.ends_ms = receive_ms // self.width_ms * self.width_ms + self.width_ms

    def take_closed(self, blind_until_ms: int) -> Advance | None:
        """Return what the watermark has closed since the last call, or None for nothing.

        blind_until_ms: as that of the tenant, and of the whole partition.
        """
        until_ms = self.watermark.value_ms // self.width_ms * self.width_ms
        if until_ms <= self.closed_until_ms:
            if not self._new:
                return None
            rows = None
        else:
            before_ms, self.closed_until_ms = self.closed_until_ms, until_ms
            rows = self._open.take_closed(until_ms)
            # What closes now began after what was closed before, so mostly all of it is sure.
            blind_until_ms = max(self.blind_until_ms, blind_until_ms)
            if blind_until_ms > before_ms or self.ends_ms < until_ms or self._open.has_novices:
                rows = self._without_blind(rows, blind_until_ms)
        stretches = self._take_stretches()
        if rows is None:
            return Advance(NO_ROWS, stretches) if len(stretches) else None
        return Advance(rows, stretches)

    def n_bytes(self) -> int:
        """Return the memory of all arrays."""
        return self._open.n_bytes() + self._later.nbytes + sum(one.nbytes for one in self._new)

    def n_series(self) -> int:
        """Return how many series are remembered."""
        return len(self._open)

    def evict(self) -> None:
        """Forget a quarter of the series; their windows are computed from the store."""
        self._new.append(self._open.evict())

    def snapshot(self) -> TenantState:
        """Return all that `restore` needs."""
        dirty = np.concatenate([self._later, *self._new])
        return TenantState(
            self.tenant,
            self.width_ms,
            self.retention_days,
            self.flags,
            self.watermark.value_ms,
            self.watermark.last_receive_ms,
            self.closed_until_ms,
            self.blind_until_ms,
            self.ends_ms,
            dirty.tobytes(),
            self._open.snapshot(),
        )

    @classmethod
    def restore(cls, state: TenantState, config: WindowConfig) -> "TenantWindows":
        """Return the engine as it was when the snapshot was taken."""
        self = cls(state.tenant, config, state.width_ms)
        self.retention_days = state.retention_days
        self.flags = state.flags
        self.watermark.value_ms = state.watermark_ms
        self.watermark.last_receive_ms = state.last_receive_ms
        self.closed_until_ms = state.closed_until_ms
        self.blind_until_ms = state.blind_until_ms
        self.ends_ms = state.ends_ms
        self._later = np.frombuffer(state.dirty, dtype=STRETCH).copy()
        self._open = OpenWindows.restore(state.open, state.width_ms)
        return self

    def _take_flags(self, block: SampleBlock) -> None:
        if block.flags == self.flags:
            return
        is_sketched = bool(block.flags & SKETCHES)
        if is_sketched != self._open.has_sketches:
            if len(self._open):
                # Open windows have sketched none or only some of their samples.
                self.blind(block.receive_ms)
            self._open.set_sketches(are_on=is_sketched)
        self.flags = block.flags

    def _without_blind(self, closed: Rows, blind_until_ms: int) -> Rows:
        """Return the rows that are sure and wanted; the windows of the rest become stretches."""
        window_ms = closed.rows["window_ms"]
        is_unsure = (window_ms < blind_until_ms) | (closed.rows["is_partial"] != 0)
        is_wanted = window_ms < self.ends_ms
        if is_unsure.any():
            unsure = closed.rows[is_unsure & is_wanted]
            self._new.append(self._open.reach_of(unsure["series_id"], unsure["window_ms"]))
        elif is_wanted.all():
            return closed
        return closed.where(is_wanted & ~is_unsure)

    def _take_stretches(self) -> NDArray[np.void]:
        """Return the closed part of all stretches, merged, and keep the open one."""
        found = np.concatenate([self._later, *self._new])
        self._new = []
        if not len(found):
            return found
        found, unwanted = split_at(found, self.ends_ms, self.width_ms)
        del unwanted
        now, later = split_at(found, self.closed_until_ms, self.width_ms)
        if len(later) > 2 * self._n_merged + _MERGE_ABOVE:
            later = merge(later, self.width_ms)
            self._n_merged = len(later)
        self._later = later
        return merge(now, self.width_ms)

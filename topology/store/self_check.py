"""The store checks itself: a few series a minute in turn, as `observai verify` does."""

import asyncio
from dataclasses import dataclass

from schemas.topics import series_range
from topology.clock import now_ms
from topology.keys import KeyRing
from topology.runtime import Context
from topology.store.evidence import Evidence
from topology.store.queries import QueryFailed
from topology.store.verify import WIDTHS_S, Difference, Page, Scope, Verifier

EVERY_S = 60.0
# A hundred cost hardly more than one: most of it is opening the parts.
SERIES_A_ROUND = 100
# More is not remembered for a second look.
MAX_SUSPECTS = 1_000
# Clocks of edges differ by as much, and records of two topics overtake each other.
MARGIN_MS = 5_000

_HOUR_S = 3_600

Window = tuple[str, int, int, int]
"""Tenant, width, series and start of a window."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A window that differed when it was first looked at."""

    partition: int
    seen_ms: int


class SelfCheck:
    """Compares recent windows with their samples; counts and logs what differs at a second look.

    The second look comes when the window stage has written about samples that were received after
    the first: then a late sample that the first look met has led to its window's new row.
    """

    def __init__(
        self, context: Context, ring: KeyRing, verifier: Verifier, evidence: Evidence
    ) -> None:
        self._context = context
        self._ring = ring
        self._verifier = verifier
        self._evidence = evidence
        self._suspects: dict[Window, Suspect] = {}
        self._told: set[Window] = set()
        self._turn = 0
        self._after = 0
        for width_s in WIDTHS_S:
            context.metrics.verify_windows.labels(f"{width_s}s")
            context.metrics.verify_mismatch.labels(f"{width_s}s")

    def start(self) -> "asyncio.Task[None]":
        """Check for ever in the background; the archive goes on whatever becomes of it."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(self._end)
        return task

    async def round(self, time_ms: int) -> None:
        """Look again at what differed, then at the next series."""
        try:
            await self._look_again(time_ms)
            await self._look(time_ms)
        except QueryFailed as failed:
            self._context.log.warning("self-check failed", error=str(failed))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self.round(now_ms())

    def _end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._context.log.error("the store no longer checks itself", error=repr(bug))

    async def _look(self, time_ms: int) -> None:
        """Compare windows of the next series of a tenant and partition, then move on."""
        tenants = self._ring.tenants()
        places = [(tenant, number) for tenant in tenants for number in self._evidence.owned()]
        n_partitions = self._evidence.n_partitions()
        if not places or not n_partitions:
            return
        tenant, partition = places[self._turn % len(places)]
        first, last = series_range(partition, n_partitions)
        page = Page(SERIES_A_ROUND, after=max(self._after, first - 1, 0))
        found = await self._verifier.choose(tenant, time_ms // 1000, page)
        ids = [series_id for series_id in found if series_id <= last]
        if len(ids) == SERIES_A_ROUND:
            self._after = ids[-1]
        else:
            self._turn, self._after = self._turn + 1, 0
        await self._compare(tenant, partition, ids, time_ms)

    async def _compare(
        self, tenant: str, partition: int, series_ids: list[int], time_ms: int
    ) -> None:
        """Compare what is closed of this hour and of the one before."""
        from_s, to_s = _begin_s(time_ms), self._evidence.closed_s(tenant, partition)
        if not series_ids or to_s <= from_s:
            return
        verdict = await self._verifier.compare(Scope(tenant, series_ids, from_s, to_s))
        for width in verdict.widths:
            self._context.metrics.verify_windows.labels(f"{width.width_s}s").inc(width.n_windows)
        for one in verdict.differences:
            if _window(tenant, one) not in self._told and len(self._suspects) < MAX_SUSPECTS:
                self._suspects.setdefault(_window(tenant, one), Suspect(partition, time_ms))

    async def _look_again(self, time_ms: int) -> None:
        self._forget(_begin_s(time_ms))
        due: dict[str, list[Window]] = {}
        for window, suspect in self._suspects.items():
            if self._evidence.is_settled(suspect.partition, suspect.seen_ms + MARGIN_MS):
                due.setdefault(window[0], []).append(window)
        for tenant, windows in due.items():
            from_s = min(start_s for *_, start_s in windows)
            to_s = max(start_s + width_s for _, width_s, _, start_s in windows)
            ids = sorted({series_id for _, _, series_id, _ in windows})
            verdict = await self._verifier.compare(Scope(tenant, ids, from_s, to_s))
            for one in verdict.differences:
                if _window(tenant, one) in windows:
                    self._tell(tenant, one)
            for window in windows:
                del self._suspects[window]

    def _tell(self, tenant: str, one: Difference) -> None:
        self._told.add(_window(tenant, one))
        self._context.metrics.verify_mismatch.labels(f"{one.width_s}s").inc()
        self._context.log.error(
            "a window does not equal its samples",
            kind=one.kind,
            tenant=tenant,
            series_id=one.series_id,
            metric=one.metric,
            labels=one.labels,
            width_s=one.width_s,
            window_start=one.start_s,
            columns={column.name: (column.stored, column.expected) for column in one.columns},
            remedy="observai verify --series 0 --from 2h shows all that differ",
        )

    def _forget(self, before_s: int) -> None:
        """Forget windows that are no longer looked at."""
        self._told = {window for window in self._told if window[3] >= before_s}
        old = [window for window in self._suspects if window[3] < before_s]
        for window in old:
            del self._suspects[window]


def _begin_s(time_ms: int) -> int:
    return time_ms // 1000 // _HOUR_S * _HOUR_S - _HOUR_S


def _window(tenant: str, one: Difference) -> Window:
    return tenant, one.width_s, one.series_id, one.start_s

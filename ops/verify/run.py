"""One run of `observai verify`: first look, second look at what differed, and the report."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.places import Places
from ops.query import Service
from ops.times import show_time
from ops.verify import processes
from ops.verify.balance import LAST_RANK, Ranks
from ops.verify.logged import LogCheck, Walk
from ops.verify.repair import records_of
from ops.verify.report import Report
from ops.verify.sample_log import SampleLog
from ops.verify.store import VerifiedStore
from schemas.topics import Topic
from topology.store.verify import EXTRA, Difference, Width

# Odd, so that every id has a rank of its own; its bits are those of the golden ratio.
_FACTOR = 0x9E3779B97F4A7C15
# An idle archive commits every 10 s.
_ARCHIVE_S, _BLIND_WAIT_S = 30.0, 15.0
MAX_WINDOWS = 10_000
_NO_KAFKA = "set OBSERVAI_KAFKA, or use --data-dir of a running `observai up`"

Say = Callable[[str], None]


class VerifyError(Exception):
    """There is nothing to verify, or it cannot be; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to verify. tenant: None for the key's own; n_series: 0 for all; to_ms: None for now.

    settle_s: how long to wait for records that are logged and not yet done, when something differs.
    repairs: whether the store is to compute windows again that differ.
    """

    tenant: str | None
    from_ms: int
    to_ms: int | None
    n_series: int
    seed: int
    settle_s: float
    repairs: bool = False


async def verify(service: Service, places: Places, request: Request, say: Say) -> Report:
    """Verify a deployment. Raises ApiError, PartitionsError, LogError or VerifyError."""
    began_s = time.monotonic()
    run = _Run(service, places, request, say)
    if places.settings is None:
        if request.repairs:
            raise VerifyError(f"--repair writes to Kafka, and none is known: {_NO_KAFKA}")
        await run.without_log()
    else:
        async with SampleLog(places.settings) as log:
            await run.with_log(log)
    if not run.report.n_compared:
        raise VerifyError(
            f"nothing to verify: tenant {run.report.tenant} has no window and no sample from "
            f"{show_time(run.report.from_ms)} to {show_time(run.report.to_ms)}"
        )
    run.report.seconds = round(time.monotonic() - began_s, 3)
    return run.report


class _Run:
    def __init__(self, service: Service, places: Places, request: Request, say: Say) -> None:
        self._places = places
        self._request = request
        self._say = say
        self._store = VerifiedStore(service, request.tenant)
        # All series come by id: neighbours share what the store has to read.
        self._ranks = Ranks(_FACTOR, request.seed) if request.n_series else Ranks(1, 0)
        self._from_s, self._to_s = self._range()
        self._chosen = chosen = self._store.choose(self._from_s, self._ranks, request.n_series)
        self._ids = chosen.series_ids
        self.report = Report(chosen.tenant, request.seed)
        if chosen.kept_from_s > self._from_s:
            self._from_s = chosen.kept_from_s
            self.report.notes.append(f"what is from before {_shown(self._from_s)} may have expired")
        self.report.from_ms, self.report.to_ms = self._from_s * 1000, self._to_s * 1000

    async def without_log(self) -> None:
        """Compare windows only; what differs is looked at again a little later."""
        self.report.notes.append(
            f"no Kafka is known, so samples were not held against the log: {_NO_KAFKA}"
        )
        suspects = self._compare(self._ids)
        if suspects:
            self._say(f"{len(suspects)} windows differ: looking again in {_BLIND_WAIT_S:.0f} s")
            await asyncio.sleep(_BLIND_WAIT_S)
            self._look_again(self._ids, suspects)

    async def with_log(self, log: SampleLog) -> None:
        """Compare windows with samples, and samples with the log."""
        edges = processes.edges(self._places.urls, self.report.tenant)
        ends = await log.ends(Topic.SAMPLES)
        self._say("waiting for the archive")
        behind = await log.wait_done(("archive",), ends, _ARCHIVE_S, self._say)
        parts = await log.parts(self._from_s * 1000, await log.done("archive", ends))
        check = LogCheck(log, self._store, await self._walk(log), self._say)
        await check.check(parts)
        self.report.balance = check.balance
        check.balance.count_edges(edges, self._from_s if await log.reaches_back(parts) else None)
        ids = sorted(check.series_ids.union(self._ids))
        suspects = self._compare(ids)
        if suspects or check.n_suspects:
            self._say(f"{len(suspects)} windows and {check.n_suspects} samples differ: waiting")
            behind = self.report.unsettled = await self._settle(log)
            self._look_again(ids, suspects)
            if self._request.repairs and not behind:
                behind = self.report.unsettled = await self._repair(log, ids)
            await check.look_again(await log.ends(Topic.SAMPLES))
            self.report.samples = check.differences
        if behind:
            self.report.notes.append(f"not settled: {behind}; `observai doctor` tells why")

    def _range(self) -> tuple[int, int]:
        """Return from and to in seconds: whole windows of it are judged. Raises VerifyError."""
        asked_s = None if self._request.to_ms is None else self._request.to_ms // 1000
        closed_s = int(processes.closed_until_s(self._places.urls, time.time()))
        from_s, to_s = -(-self._request.from_ms // 1000), min(asked_s or closed_s, closed_s)
        if asked_s is not None and from_s >= asked_s:
            raise VerifyError(f"--from {_shown(from_s)} is not before --to {_shown(asked_s)}")
        if from_s >= to_s:
            raise VerifyError(
                f"nothing to verify from {_shown(from_s)} on: windows are closed until "
                f"{_shown(closed_s)}; give an earlier --from"
            )
        return from_s, to_s

    async def _walk(self, log: SampleLog) -> Walk:
        n_series = self._request.n_series
        is_all = not n_series or len(self._ids) < n_series
        last_rank = LAST_RANK if is_all else self._ranks.of_one(self._ids[-1])
        now_ms = round(time.time() * 1000)
        return Walk(self.report.tenant, self._ranks, last_rank, await log.lettered(), now_ms)

    def _compare(self, series_ids: Sequence[int]) -> list[Difference]:
        """Compare all windows of the series; return those that differ."""
        suspects: list[Difference] = []
        self.report.n_series = len(series_ids)
        self.report.widths = {}
        for verdict in self._store.compare(series_ids, self._from_s, self._to_s, MAX_WINDOWS):
            for width in verdict.widths:
                before = self.report.widths.get(width.width_s, Width(width.width_s, 0, 0, 0))
                self.report.widths[width.width_s] = before.plus(width)
            suspects += verdict.differences[: MAX_WINDOWS - len(suspects)]
            n_windows = sum(one.n_windows for one in self.report.widths.values())
            self._say(f"windows: {n_windows:,} compared, {len(suspects)} differ")
        return suspects

    async def _settle(self, log: SampleLog) -> str | None:
        """Wait until all that is logged now has led to rows; return what has not in time."""
        settle_s = self._request.settle_s
        until_s = time.monotonic() + settle_s
        samples = await log.ends(Topic.SAMPLES)
        behind = await log.wait_done(("window", "archive"), samples, settle_s, self._say)
        rollups = await log.ends(Topic.ROLLUPS, Topic.RECOMPUTE)
        left_s = max(0.0, until_s - time.monotonic())
        return await log.wait_done(("archive",), rollups, left_s, self._say) or behind

    async def _repair(self, log: SampleLog, series_ids: Sequence[int]) -> str | None:
        """Have windows computed again until none is left, or none of them can be.

        Returns what has not been done in time.
        """
        # One without samples is left: coarser windows would be made of it.
        while wrong := [one for one in self.report.windows if one.kind != EXTRA]:
            n_before = self.report.n_wrong_windows
            ends = list((await log.ends(Topic.SAMPLES)).values())
            records = records_of(wrong, self._chosen, self.report.to_ms, ends)
            await log.append(Topic.RECOMPUTE, records)
            marks = await log.ends(Topic.RECOMPUTE)
            settle_s = self._request.settle_s
            behind = await log.wait_done(("archive",), marks, settle_s, self._say)
            if behind is not None:
                return behind
            self._look_again(series_ids, self._compare(series_ids))
            n_repaired = n_before - self.report.n_wrong_windows
            self.report.n_repaired += max(0, n_repaired)
            if n_repaired <= 0:
                return None
        return None

    def _look_again(self, series_ids: Sequence[int], suspects: Sequence[Difference]) -> None:
        """Keep what differs still; a worker that has just begun did not know what is closed."""
        if self.report.n_wrong_windows > len(suspects):
            # Which the others were is not known, so all are looked at anew.
            suspects = self._compare(series_ids)
        n_unnamed = self.report.n_wrong_windows - len(suspects)
        closed_s = processes.closed_until_s(self._places.urls, time.time())
        known = [one for one in suspects if one.start_s + one.width_s <= closed_s]
        self.report.keep(self._store.again(known), n_unnamed)


def _shown(time_s: int) -> str:
    return show_time(time_s * 1000)

"""What a tenant may send: samples a second, and series that begin. Refusals say limit and use."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from pipeline.active_series import WINDOW_MIN, ActiveSeries
from pipeline.admission import Reason
from pipeline.selectors import shortened
from pipeline.series_labels import take
from pipeline.token_bucket import TokenBucket
from schemas.series import SeriesBlock
from topology.edge.intake import Intake
from topology.http import Refused
from topology.tenants import Tenant

MINUTE_MS = 60_000
_NO_INDEXES = np.empty(0, dtype=np.int64)


class Quotas:
    """Token buckets of tenants, of which this edge has its share, and the count of their series.

    n_edges: how many edges are alive, this one among them. knows_active: whether the series that
    were active at the start are counted; until then none is refused, and none is a new one.
    """

    def __init__(
        self, active: ActiveSeries, n_edges: Callable[[], int], knows_active: Callable[[], bool]
    ) -> None:
        self._active = active
        self._knows_active = knows_active
        self._n_edges = n_edges
        self._buckets: dict[str, TokenBucket] = {}

    def check_rate(self, tenant: Tenant) -> None:
        """Raise Refused (429) while the tenant has sent more than it may."""
        if tenant.rate is None:
            return
        n_edges = self._n_edges()
        rate = tenant.rate.shared(n_edges)
        wait_s = self._bucket(tenant).wait_s(rate, asyncio.get_running_loop().time())
        if wait_s > 0:
            retry_after_s = math.ceil(wait_s)
            of = f", of which this edge takes one in {n_edges}" if n_edges > 1 else ""
            message = (
                f"tenant {tenant.name!r} sends more than {tenant.samples_per_s} samples/s "
                f"(samples_per_s, samples_burst{of}): send this again after {retry_after_s} s"
            )
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, message, "rate", retry_after_s)

    def charge(self, tenant: Tenant, n_samples: int) -> None:
        """Charge what a body held, good or not; one more body may have come meanwhile."""
        self.check_rate(tenant)
        if tenant.rate is not None:
            self._bucket(tenant).charge(n_samples)

    def _bucket(self, tenant: Tenant) -> TokenBucket:
        bucket = self._buckets.get(tenant.name)
        if bucket is None:
            assert tenant.rate is not None
            burst = tenant.rate.shared(self._n_edges()).burst
            bucket = TokenBucket(burst, asyncio.get_running_loop().time())
            self._buckets[tenant.name] = bucket
        return bucket

    def limit_series(self, intake: Intake, now_ms: int) -> Intake:
        """Return the intake without the samples of series that are one too many; of any thread."""
        tenant, minute = intake.tenant, now_ms // MINUTE_MS
        if not self._knows_active():
            for block in intake.new_series:
                self._active.note(tenant.name, block.series_ids, minute)
            return intake
        most = (tenant.active_series, tenant.new_series_per_hour)
        allowed = [
            self._active.admit(tenant.name, block.series_ids, minute, *most)
            for block in intake.new_series
        ]
        if all(mask.all() for mask in allowed):
            return intake
        blocks = zip(intake.new_series, intake.new_keys, allowed, strict=True)
        kept = [
            (take(block, np.flatnonzero(mask)), keys[mask])
            for block, keys, mask in blocks
            if mask.any()
        ]
        refused = [
            take(block, np.flatnonzero(~mask))
            for block, mask in zip(intake.new_series, allowed, strict=True)
            if not mask.all()
        ]
        bare = _without(intake, refused, *self._why(tenant, minute))
        return replace(bare, new_series=[b for b, _ in kept], new_keys=[k for _, k in kept])

    def n_active(self, tenant: Tenant, now_ms: int) -> int:
        """Return how many series of the tenant are active."""
        return self._active.count(tenant.name, now_ms // MINUTE_MS)

    def _why(self, tenant: Tenant, minute: int) -> tuple[Reason, str]:
        n_active = self._active.count(tenant.name, minute)
        if tenant.active_series is not None and n_active >= tenant.active_series:
            return Reason.ACTIVE_SERIES, (
                f"a new series, and tenant {tenant.name!r} has {n_active} active within "
                f"{WINDOW_MIN} minutes, at most {tenant.active_series} (active_series); the "
                "samples of those go on being taken"
            )
        n_begun = self._active.count_begun(tenant.name, minute)
        return Reason.NEW_SERIES, (
            f"a new series, and tenant {tenant.name!r} has begun {n_begun} within 60 minutes, at "
            f"most {tenant.new_series_per_hour} (new_series_per_hour); those that are active go on"
        )


def _without(intake: Intake, refused: list[SeriesBlock], reason: Reason, message: str) -> Intake:
    """Return the intake without the samples of these series, which are noted as refused."""
    ids = np.concatenate([block.series_ids for block in refused])
    is_refused = np.isin(intake.series_ids, ids)
    at = np.flatnonzero(is_refused)
    places = intake.places[at] if len(intake.places) else at

    def message_of(k: int) -> str:
        return f"{_name_of(refused, intake.series_ids[at[k]])}: {message}"

    named = intake.lines[at] if len(intake.lines) else places
    intake.refusals.add_many(named, reason, message_of, places)
    points = np.unique(intake.points[at]) if len(intake.points) else at
    intake.n_points_refused += int((points >= 0).sum())
    good = ~is_refused
    return replace(
        intake,
        series_ids=intake.series_ids[good],
        times_ms=intake.times_ms[good],
        values=intake.values[good],
        starts_ms=_rows(intake.starts_ms, good),
        points=_rows(intake.points, good),
        lines=_rows(intake.lines, good),
        places=_rows(intake.places, good) if len(intake.places) else np.flatnonzero(good),
    )


def _rows(column: NDArray[np.int64], rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    return column[rows] if len(column) else _NO_INDEXES


def _name_of(blocks: list[SeriesBlock], series_id: np.uint64) -> str:
    """Return a series in words: its name and labels."""
    for block in blocks:
        rows = np.flatnonzero(block.series_ids == series_id)
        if len(rows):
            return shortened(take(block, rows[:1]).labels()[0])
    return ""

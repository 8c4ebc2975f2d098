"""What one request gives, and what the edge knows of series for all protocols."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.active_series import ActiveSeries
from pipeline.admission import Limits
from pipeline.hashing import tenant_hash
from pipeline.known_series import KnownSeries
from pipeline.refusals import Refusals
from pipeline.starts import Starts, Zeros
from schemas.series import SeriesBlock
from topology.budget import EdgeBudget
from topology.edge.metadata import MetricMetadata
from topology.edge.pairs import Pairs
from topology.settings import Settings
from topology.tenants import Tenant

_DAY_MS = 86_400_000


def _no_labels(places: Sequence[int]) -> Sequence[Mapping[str, str]]:
    return [{}] * len(places)


def _none() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class Intake:
    """What one request gives.

    series_ids: uint64 (n,). times_ms: int64 (n,). values: float64 (n,), of the good samples.
    starts_ms: int64 (n,), since when each value counts from zero, 0 where not said; (0,) for none.
    new_series: what is to be announced before the samples are acknowledged. new_keys: for
    KnownSeries, uint64 (k,) each, once it is. places: int64 (n,), where the samples stood in the
    body; (0,) where none was refused. points: int64 (n,), which of the body's points each sample is
    a part of, -1 for none; (0,) where each is one. n_points_refused: of what the body has as one
    thing and the store as several samples, a histogram or a line of fields.
    n_copies: samples of replicas that are not taken, because another one is.
    lines: int64 (n,), by which messages name the samples of a protocol of lines; (0,) by place.
    labels_of: labels of the samples at places of the body while that is there, none of what cannot
    be read.
    """

    tenant: Tenant
    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    starts_ms: NDArray[np.int64] = field(default_factory=_none)
    new_series: list[SeriesBlock] = field(default_factory=list)
    new_keys: list[NDArray[np.uint64]] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    n_exemplars: int = 0
    n_strings: int = 0
    n_points_refused: int = 0
    n_copies: int = 0
    labels_of: Callable[[Sequence[int]], Sequence[Mapping[str, str]]] = _no_labels
    places: NDArray[np.int64] = field(default_factory=_none)
    lines: NDArray[np.int64] = field(default_factory=_none)
    points: NDArray[np.int64] = field(default_factory=_none)

    @property
    def n_written(self) -> int:
        """Samples that the sender need not send again: good ones, and copies of such."""
        return len(self.series_ids) + self.n_copies


class Registry:
    """Which series, starts and types have been told, limits and seeds of tenants.

    memory: what this and the protocols remember, by part: how many bytes it takes now.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.budget = EdgeBudget.of(settings.memory_bytes)
        self.known = KnownSeries(self.budget.max_series)
        self.active = ActiveSeries(self.budget.max_series)
        self.pairs = Pairs(self.budget.max_series // 2)
        self.starts = Starts(self.budget.max_series // 4)
        self.metadata = MetricMetadata(self.budget.max_series // 8)
        self.memory: dict[str, Callable[[], int]] = {
            "known_series": self.known.n_bytes,
            "pairs": self.pairs.n_bytes,
            "starts": self.starts.n_bytes,
            "active_series": self.active.n_bytes,
            "metadata": self.metadata.n_bytes,
        }
        self._seeds: dict[str, np.uint64] = {}

    def seed(self, tenant: Tenant) -> np.uint64:
        """Return what the ids of a tenant's series begin with."""
        seed = self._seeds.get(tenant.name)
        if seed is None:
            seed = self._seeds[tenant.name] = tenant_hash(tenant.name)
        return seed

    def limits(self, tenant: Tenant) -> Limits:
        """Return what is taken of a tenant."""
        return Limits(
            tenant.max_labels or self.settings.max_labels,
            tenant.max_label_bytes or self.settings.max_label_bytes,
            self.settings.max_future_s * 1000,
            tenant.retention_days * _DAY_MS,
        )


def with_zeros(intake: Intake, zeros: Zeros) -> Intake:
    """Return the intake with the samples 0 that its starts stand for."""
    if not len(zeros):
        return intake
    ids, times_ms, values = zeros.insert_into(intake.series_ids, intake.times_ms, intake.values)
    return replace(intake, series_ids=ids, times_ms=times_ms, values=values)


def summarize(refusals: Refusals, n_taken: int) -> str:
    """Say in a few lines how many samples were refused and why, with the first as examples."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in refusals.counts.most_common())
    examples = "\n".join(f"sample {one.index}: {one.message}" for one in refusals.in_order()[:5])
    n_samples = n_taken + len(refusals)
    return f"{len(refusals)} of {n_samples} samples refused ({reasons})\n{examples}\n"

"""What one request gives, and what the edge knows of series for all protocols."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Rejection
from pipeline.hashing import tenant_hash
from pipeline.known_series import KnownSeries
from schemas.series import Announcement, SeriesBlock, series_block
from topology.budget import EdgeBudget
from topology.keys import Tenant
from topology.settings import Settings

_DAY_MS = 86_400_000


@dataclass(slots=True)
class Intake:
    """What one request gives.

    series_ids: uint64 (n,). times_ms: int64 (n,). values: float64 (n,), of the good samples.
    new_series: what is to be announced before the samples are acknowledged.
    """

    tenant: Tenant
    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    new_series: list[SeriesBlock] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def rejected_by_reason(self) -> Counter[str]:
        """Count the refused samples by reason."""
        return Counter(str(rejection.reason) for rejection in self.rejections)


class Registry:
    """Which series have been announced, limits and seeds of tenants.

    memory: what this and the protocols remember, by part: how many bytes it takes now.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.budget = EdgeBudget.of(settings.memory_bytes)
        self.known = KnownSeries(self.budget.max_series)
        self.memory: dict[str, Callable[[], int]] = {"known_series": self.known.n_bytes}
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
            self._settings.max_labels,
            self._settings.max_label_bytes,
            self._settings.max_future_s * 1000,
            tenant.retention_days * _DAY_MS,
        )

    def announce(
        self, tenant: Tenant, now_ms: int, announcements: Sequence[Announcement]
    ) -> list[SeriesBlock]:
        """Lay announcements out as blocks: one, or none where there is nothing to say."""
        if not announcements:
            return []
        return [series_block(tenant.name, now_ms, tenant.retention_days, announcements)]


def summarize(rejections: Sequence[Rejection], n_samples: int) -> str:
    """Say in a few lines how many samples were refused and why, with the first as examples."""
    counts = Counter(str(rejection.reason) for rejection in rejections)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    examples = "\n".join(f"sample {one.index}: {one.message}" for one in rejections[:5])
    return f"{len(rejections)} of {n_samples} samples refused ({reasons})\n{examples}\n"

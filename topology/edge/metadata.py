"""What remote write 1.0 tells of metrics apart from samples, and what other edges are told of it.

A sender's metadata may come to one edge and its series to another, or to one that has just
started; so edges tell each other of new families at once, and of all again every few minutes.
"""

import threading
from collections import Counter

from pipeline.families import Families, Told, families_of
from pipeline.metric_types import MetricTypes, TenantMetrics
from schemas.edges import FamiliesTold

_MINUTE_MS = 60_000
# Of all tenants, waiting to be told; what is more waits for its sender to repeat it.
_MAX_WAITING = 20_000
# Of JSON in one record, some 2,500 families; the least is enough for any one family.
_MAX_TOLD_BYTES, _LEAST_TOLD_BYTES = 512 << 10, 8 << 10


class MetricMetadata:
    """Types and units by tenant, of at most max_names series' names."""

    def __init__(self, max_names: int) -> None:
        self._types = MetricTypes(max_names)
        # Large bodies are read in threads beside the event loop.
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Told]] = {}
        self._n_waiting = 0
        self._left_out: Counter[str] = Counter()

    @property
    def max_of_tenant(self) -> int:
        """How many names of series a tenant may have."""
        return self._types.max_of_tenant

    def n_bytes(self) -> int:
        """Return the memory of what is known."""
        return self._types.n_bytes()

    def of(self, tenant: str) -> TenantMetrics:
        """Return what is known of a tenant's metrics."""
        return self._types.of(tenant)

    def note(self, tenant: str, families: Families, now_ms: int) -> bool:
        """Take in what a sender tells; return whether that changes what series are announced as."""
        with self._lock:
            room = _MAX_WAITING - self._n_waiting
            noted = self._types.note(tenant, families, now_ms // _MINUTE_MS, room)
            if len(noted.to_tell):
                told = families.told(noted.to_tell.tolist())
                self._waiting.setdefault(tenant, []).extend(told)
                self._n_waiting += len(told)
            if noted.n_left_out:
                self._left_out[tenant] = noted.n_left_out
            return noted.n_changed > 0

    def hear(self, told: FamiliesTold, told_ms: int) -> None:
        """Take in what an edge has told at a time."""
        self._types.note(told.tenant, families_of(told.families), told_ms // _MINUTE_MS)

    def take(self) -> list[FamiliesTold]:
        """Return what to tell other edges now: of each tenant a part, so that none holds up all."""
        with self._lock:
            share = max(_LEAST_TOLD_BYTES, _MAX_TOLD_BYTES // max(len(self._waiting), 1))
            taken = []
            for tenant in list(self._waiting)[: _MAX_TOLD_BYTES // share]:
                # What is left goes to the end, for the next time.
                waiting = self._waiting.pop(tenant)
                n = _fitting(waiting, share)
                taken.append(FamiliesTold(tenant, waiting[:n]))
                self._n_waiting -= n
                if waiting[n:]:
                    self._waiting[tenant] = waiting[n:]
            return taken

    def take_left_out(self) -> Counter[str]:
        """Return for how many families of each tenant there was no room, since the last call."""
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
            return left_out


def _fitting(waiting: list[Told], n_bytes: int) -> int:
    """Return how many families fit into so many bytes of JSON, where a byte may take six."""
    for n, (name, _, unit) in enumerate(waiting):
        n_bytes -= 16 + 6 * (len(name.encode()) + len(unit.encode()))
        if n_bytes < 0:
            return n
    return len(waiting)

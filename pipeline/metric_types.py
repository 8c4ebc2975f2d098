"""Types and units of metrics, as senders tell of them apart from samples, in bounded memory.

Filled by what is told of families (pipeline.families), and read by the decoder of samples.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.families import Families
from pipeline.hashing import tenant_hash
from pipeline.metric_table import METRIC, insert, note_families
from pipeline.salt import salt_of

# At the limit, what was not heard for so long makes room.
FORGET_MIN = 60
_LEAST_SLOTS = 64
# A text of up to 256 bytes takes as much as so many names.
_NAMES_PER_UNIT = 4


@dataclass(slots=True)
class TenantMetrics:
    """What is known of a tenant's metrics.

    slots: of dtype METRIC, (k,), a hash table by salted name, at most half full; (0,) for nothing.
    It is only added to: one that grows is another. units: by unit_key.
    """

    slots: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, dtype=METRIC))
    units: Mapping[int, str] = field(default_factory=dict)


NO_METRICS = TenantMetrics()


@dataclass(frozen=True, slots=True)
class Noted:
    """to_tell: int64 (k,), rows of families that other edges are to be told of.

    n_changed: series names that have another type or unit than before. n_left_out: families for
    which there is no room.
    """

    to_tell: NDArray[np.int64]
    n_changed: int
    n_left_out: int


class MetricTypes:
    """Names of all tenants' series with type and unit: max_names at most, of one a quarter.

    Of two types told of a name at one time that of the family of this very name holds, else the
    higher number, as in the store: so all edges come to the same, in whatever order they hear it.
    """

    def __init__(self, max_names: int) -> None:
        self._max_names = max_names
        # Large bodies are read in threads beside the event loop.
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}
        self._n_names = 0
        self._forgot_min = 0

    def __len__(self) -> int:
        """How many names are known; a unit counts as four."""
        return self._n_names

    @property
    def max_of_tenant(self) -> int:
        """How many names a tenant may have."""
        return self._max_names // 4

    def n_bytes(self) -> int:
        """Return the memory of all tables."""
        with self._lock:
            return sum(one.known.slots.nbytes for one in self._tenants.values())

    def of(self, tenant: str) -> TenantMetrics:
        """Return what is known of a tenant's metrics."""
        found = self._tenants.get(tenant)
        return NO_METRICS if found is None else found.known

    def note(
        self, tenant: str, families: Families, now_min: int, most_told: int | None = None
    ) -> Noted:
        """Take in what a sender tells, or with most_told None what another edge has told.

        now_min: minutes since the epoch. most_told: of how many families others can be told.
        """
        with self._lock:
            found = self._tenants.get(tenant)
            if found is None:
                found = self._tenants[tenant] = _Tenant(tenant)
            room = min(self.max_of_tenant - found.n, self._max_names - self._n_names)
            before = found.n
            noted = found.note(families, now_min, room, most_told)
            self._n_names += found.n - before
            if noted.n_left_out and now_min != self._forgot_min:
                self._forget(now_min)
            return noted

    def _forget(self, now_min: int) -> None:
        self._forgot_min = now_min
        for tenant, one in list(self._tenants.items()):
            before = one.n
            one.forget(now_min - FORGET_MIN)
            self._n_names += one.n - before
            if not one.n:
                del self._tenants[tenant]


class _Tenant:
    """n: names, and units four times."""

    def __init__(self, tenant: str) -> None:
        self.known = TenantMetrics()
        self.n = 0
        self._units: dict[int, str] = {}
        self._salt = salt_of(int(tenant_hash(tenant)))
        self._n_names = 0

    def note(self, families: Families, now_min: int, room: int, most_told: int | None) -> Noted:
        room -= self._add_units(families, room)
        n_tell = len(families) if most_told is None else most_told
        told = np.zeros(len(families), dtype=np.bool_)
        columns = (families.text, families.bounds, families.types, families.unit_keys)
        row = n_changed = n_left_out = 0
        while row < len(families):
            held = (self.known.slots, self._n_names, self._salt)
            left = n_tell - int(told.sum())
            row, added, changed, left_out = note_families(
                *columns, row, *held, now_min, room, left, told
            )
            self._n_names += added
            room -= added
            n_changed += changed
            n_left_out += left_out
            if row < len(families):
                self._grow()
        self._count()
        to_tell = np.flatnonzero(told) if most_told is not None else np.empty(0, dtype=np.int64)
        return Noted(to_tell, n_changed, n_left_out)

    def forget(self, since_min: int) -> None:
        """Forget what was not heard since then."""
        held = self.known.slots
        kept = held[(held["name"] != 0) & (held["heard_min"] >= since_min)]
        self._n_names = len(kept)
        slots = np.zeros(_n_slots(len(kept)), dtype=METRIC)
        insert(slots, kept)
        used = set(kept["unit_key"].tolist())
        self._units = {key: unit for key, unit in self._units.items() if key in used}
        self.known = TenantMetrics(slots, self._units)
        self._count()

    def _add_units(self, families: Families, room: int) -> int:
        """Remember units that are new, before a name refers to them; return the room they take."""
        keys, first = np.unique(families.unit_keys, return_index=True)
        taken = 0
        for key, row in zip(keys.tolist(), first.tolist(), strict=True):
            if taken + _NAMES_PER_UNIT > room:
                break
            if key not in self._units and (unit := families.unit(row)):
                self._units[key] = unit
                taken += _NAMES_PER_UNIT
        return taken

    def _grow(self) -> None:
        held = self.known.slots
        slots = np.zeros(max(_LEAST_SLOTS, 2 * len(held)), dtype=METRIC)
        insert(slots, held[held["name"] != 0])
        self.known = TenantMetrics(slots, self._units)

    def _count(self) -> None:
        self.n = self._n_names + _NAMES_PER_UNIT * len(self._units)


def _n_slots(n_names: int) -> int:
    return 1 << (2 * max(n_names, _LEAST_SLOTS // 2) - 1).bit_length()

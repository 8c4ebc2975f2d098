"""Pairs of replicas that send the same series: one is taken, and both are one series.

A tenant names two labels: that of the cluster, and that which tells its replicas apart. The second
one is dropped, so a series stays the same whichever replica it comes from. What an edge remembers
of a series is by its id as sent, so no Python runs for a series but the first time.

A tenant has MAX_REPLICAS replicas, those heard within an hour. A series of a further one keeps its
label: without it, it would be one series with that of a replica which nobody knows to be elected.
"""

import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.decoded import Decoded, LabelTable
from pipeline.election import FORGET_MS, Cluster, Election
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.key_ids import KeyIds
from pipeline.label_drop import without_label
from topology.tenants import Tenant

# Of no pair: one of the labels is missing, or there are too many replicas.
_SINGLE = 1
MAX_REPLICAS = 1_000
_LOOK_AGAIN_MS = 60_000


class _Replicas:
    """The replicas of one tenant by number; heard_ms: when samples of each came last."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Cluster, str], int] = {}
        self.heard_ms: dict[int, int] = {}
        self._look_ms = 0

    @property
    def is_full(self) -> bool:
        """Whether there may be no more."""
        return len(self.numbers) >= MAX_REPLICAS

    def forget_silent(self, now_ms: int) -> list[int]:
        """Forget those not heard within an hour, where room is needed; return their numbers."""
        if not self.is_full or now_ms < self._look_ms:
            return []
        self._look_ms = now_ms + _LOOK_AGAIN_MS
        since_ms = now_ms - FORGET_MS
        silent = [number for number, heard_ms in self.heard_ms.items() if heard_ms <= since_ms]
        for number in silent:
            del self.heard_ms[number]
        kept = self.numbers.items()
        self.numbers = {key: number for key, number in kept if number in self.heard_ms}
        return silent


class Pairs:
    """Finds the replica behind each series, and asks who is elected."""

    def __init__(self, max_series: int) -> None:
        self.election = Election()
        self._lock = threading.Lock()
        self._ids = KeyIds(max_series)
        self._numbers = KeyIds(max_series)
        self._tenants: dict[str, _Replicas] = {}
        self._by_number: dict[int, tuple[Cluster, str]] = {}
        self._next_number = _SINGLE + 1

    def n_bytes(self) -> int:
        """Return the memory of what is remembered of series."""
        return self._ids.n_bytes() + self._numbers.n_bytes()

    def resolve(
        self, decoded: Decoded, tenant: Tenant, seed: np.uint64, now_ms: int
    ) -> tuple[Decoded, NDArray[np.bool_]]:
        """Return the body with series as they are stored, and which samples are not taken."""
        with self._lock:
            ids, numbers = self._look_up(decoded, tenant, seed, now_ms)
            present = np.unique(numbers[numbers > _SINGLE]).tolist()
            refused = [one for one in present if not self._accepts(one, now_ms)]
        is_pair = numbers > _SINGLE
        label = tenant.ha_replica_label or ""

        def labels_of(rows: NDArray[np.int64]) -> LabelTable:
            return without_label(decoded.labels_of(rows), label, is_pair[rows])

        metadata = decoded.metadata
        if metadata is not None:
            keys = metadata.keys ^ decoded.series_ids ^ ids
            metadata = replace(metadata, keys=keys)
        stored = replace(decoded, series_ids=ids, labels_of=labels_of, metadata=metadata)
        is_refused = np.isin(numbers, np.array(refused, dtype=np.uint64))
        return stored, is_refused[decoded.sample_series]

    def _hear(self, numbers: NDArray[np.uint64], now_ms: int) -> NDArray[np.bool_]:
        """Note that replicas were heard; return which numbers, shape (n,), are none of one."""
        gone = []
        for number in np.unique(numbers).tolist():
            if (found := self._by_number.get(number)) is not None:
                self._tenants[found[0].tenant].heard_ms[number] = now_ms
            elif number != _SINGLE:
                gone.append(number)
        return np.isin(numbers, np.array(gone, dtype=np.uint64))

    def _accepts(self, number: int, now_ms: int) -> bool:
        cluster, replica = self._by_number[number]
        return self.election.accepts(cluster, replica, now_ms)

    def _look_up(
        self, decoded: Decoded, tenant: Tenant, seed: np.uint64, now_ms: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the id and the replica's number of each series."""
        salt = tenant_hash(f"{tenant.ha_cluster_label}\n{tenant.ha_replica_label}")
        keys = decoded.series_ids ^ salt
        ids, numbers = self._ids.find(keys, seed), self._numbers.find(keys, seed)
        is_sound = (decoded.series_ids != 0) & (keys != 0)
        unknown = np.flatnonzero(((ids == 0) | self._hear(numbers, now_ms)) & is_sound)
        if len(unknown):
            table = decoded.labels_of(unknown)
            for row, at in enumerate(unknown.tolist()):
                ids[at], numbers[at] = self._meet(table, row, tenant, seed, now_ms)
                if not ids[at]:
                    ids[at] = decoded.series_ids[at]
            self._ids.add(keys[unknown], ids[unknown], seed)
            self._numbers.add(keys[unknown], numbers[unknown], seed)
        ids[~is_sound] = decoded.series_ids[~is_sound]
        numbers[~is_sound] = _SINGLE
        return ids, numbers

    def _meet(
        self, table: LabelTable, row: int, tenant: Tenant, seed: np.uint64, now_ms: int
    ) -> tuple[int, int]:
        """Return the id without the replica's label, 0 for the same as before, and the number."""
        try:
            labels = dict(table.labels(row))
        except ValueError:
            return 0, _SINGLE
        cluster = labels.get(tenant.ha_cluster_label or "")
        replica = labels.pop(tenant.ha_replica_label or "", None)
        if cluster is None or replica is None:
            return 0, _SINGLE
        number = self._number_of(Cluster(tenant.name, cluster), replica, now_ms)
        return (0, _SINGLE) if number == _SINGLE else (series_id_of(seed, labels), number)

    def _number_of(self, cluster: Cluster, replica: str, now_ms: int) -> int:
        replicas = self._tenants.get(cluster.tenant)
        if replicas is None:
            replicas = self._tenants[cluster.tenant] = _Replicas()
        number = replicas.numbers.get((cluster, replica))
        if number is None:
            for silent in replicas.forget_silent(now_ms):
                del self._by_number[silent]
            if replicas.is_full:
                return _SINGLE
            number, self._next_number = self._next_number, self._next_number + 1
            replicas.numbers[cluster, replica] = number
            replicas.heard_ms[number] = now_ms
            self._by_number[number] = cluster, replica
        return number

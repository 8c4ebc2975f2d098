"""Pairs of replicas that send the same series: one is taken, and both are one series.

A tenant names two labels: that of the cluster, and that which tells its replicas apart. The second
one is dropped, so a series stays the same whichever replica it comes from. What an edge remembers
of a series is by its id as sent, so no Python runs for a series but the first time.
"""

import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.decoded import Decoded, LabelTable
from pipeline.election import Cluster, Election
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.key_ids import KeyIds
from pipeline.label_drop import without_label
from pipeline.salt import salted
from topology.tenants import Tenant

# Of no pair, because one of the labels is missing.
_SINGLE = 1
_MAX_REPLICAS = 100_000


class Pairs:
    """Finds the replica behind each series, and asks who is elected."""

    def __init__(self, max_series: int) -> None:
        self.election = Election()
        self._lock = threading.Lock()
        self._ids = KeyIds(max_series)
        self._numbers = KeyIds(max_series)
        self._replicas: dict[tuple[Cluster, str], int] = {}
        self._by_number: list[tuple[Cluster, str]] = []

    def n_bytes(self) -> int:
        """Return the memory of what is remembered of series."""
        return self._ids.n_bytes() + self._numbers.n_bytes()

    def resolve(
        self, decoded: Decoded, tenant: Tenant, seed: np.uint64, now_ms: int
    ) -> tuple[Decoded, NDArray[np.bool_]]:
        """Return the body with series as they are stored, and which samples are not taken."""
        with self._lock:
            ids, numbers = self._look_up(decoded, tenant, seed)
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

    def _accepts(self, number: int, now_ms: int) -> bool:
        cluster, replica = self._by_number[number - _SINGLE - 1]
        return self.election.accepts(cluster, replica, now_ms)

    def _look_up(
        self, decoded: Decoded, tenant: Tenant, seed: np.uint64
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the id and the replica's number of each series."""
        salt = tenant_hash(f"{tenant.ha_cluster_label}\n{tenant.ha_replica_label}")
        keys = salted(decoded.series_ids ^ salt, seed)
        ids, numbers = self._ids.find(keys), self._numbers.find(keys)
        is_sound = (decoded.series_ids != 0) & (keys != 0)
        unknown = np.flatnonzero(((ids == 0) | (numbers == 0)) & is_sound)
        if len(unknown):
            table = decoded.labels_of(unknown)
            for row, at in enumerate(unknown.tolist()):
                ids[at], numbers[at] = self._meet(table, row, tenant, seed)
                if not ids[at]:
                    ids[at] = decoded.series_ids[at]
            self._ids.add(keys[unknown], ids[unknown])
            self._numbers.add(keys[unknown], numbers[unknown])
        ids[~is_sound] = decoded.series_ids[~is_sound]
        numbers[~is_sound] = _SINGLE
        return ids, numbers

    def _meet(
        self, table: LabelTable, row: int, tenant: Tenant, seed: np.uint64
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
        return series_id_of(seed, labels), self._number_of(Cluster(tenant.name, cluster), replica)

    def _number_of(self, cluster: Cluster, replica: str) -> int:
        number = self._replicas.get((cluster, replica))
        if number is None:
            if len(self._by_number) >= _MAX_REPLICAS:
                # A label that is none of a replica: each series has its own.
                return _SINGLE
            self._by_number.append((cluster, replica))
            number = self._replicas[cluster, replica] = len(self._by_number) + _SINGLE
        return number

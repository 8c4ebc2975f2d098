"""Pairs of replicas at the edge: one is taken, as series without the replica's label."""

import numpy as np

from pipeline.hashing import series_id_of, tenant_hash
from pipeline.remote_write import decode_write_request
from tests.vectors.remote_write import write_request
from topology.edge.admit import admit
from topology.edge.intake import Intake, Registry
from topology.settings import Settings
from topology.tenants import Tenant

T0 = 1_700_000_000_000
TENANT = Tenant("acme", "pro", 30, ha_cluster_label="cluster", ha_replica_label="replica")
SEED = tenant_hash("acme")


def receive(registry: Registry, tenant: Tenant, at_ms: int, *series: dict[str, str]) -> Intake:
    body = write_request(list(series), [[(at_ms, float(at))] for at in range(len(series))])
    decoded = decode_write_request(np.frombuffer(body, dtype=np.uint8), SEED).samples
    return admit(registry, decoded, tenant, at_ms)


def one(replica: str, name: str = "up", cluster: str = "eu") -> dict[str, str]:
    return {"__name__": name, "cluster": cluster, "replica": replica}


def test_one_replica_is_taken_and_the_series_have_no_replica() -> None:
    registry = Registry(Settings())

    first = receive(registry, TENANT, T0, one("a"), one("a", "down"))
    second = receive(registry, TENANT, T0, one("b"), one("b", "down"))

    ids = [series_id_of(SEED, {"__name__": name, "cluster": "eu"}) for name in ("up", "down")]
    assert first.series_ids.tolist() == ids
    assert [labels for block in first.new_series for labels in block.labels()] == [
        {"__name__": "up", "cluster": "eu"},
        {"__name__": "down", "cluster": "eu"},
    ]
    assert (len(second.series_ids), second.n_copies, second.n_written) == (0, 2, 2)
    assert (second.new_series, len(second.refusals)) == ([], 0)


def test_after_half_a_minute_the_other_one_continues_the_same_series() -> None:
    registry = Registry(Settings())
    first = receive(registry, TENANT, T0, one("a"))
    registry.known.add(first.new_keys[0], T0)

    after = receive(registry, TENANT, T0 + 30_001, one("b"))

    assert after.series_ids.tolist() == first.series_ids.tolist()
    assert after.new_series == []


def test_what_lacks_a_label_is_no_pair_and_keeps_what_it_has() -> None:
    registry = Registry(Settings())
    labels = [{"__name__": "x", "replica": "a"}, {"__name__": "y", "cluster": "eu"}]

    for _ in range(2):
        taken = receive(registry, TENANT, T0, *labels)
        assert taken.series_ids.tolist() == [series_id_of(SEED, one) for one in labels]
    assert taken.n_copies == 0


def test_a_body_of_several_clusters_is_taken_in_part_and_copies_are_never_refused() -> None:
    """A copy that is far in the future is not told of: its like of the elected one is."""
    registry = Registry(Settings())
    receive(registry, TENANT, T0, one("a"), one("b", cluster="us"))
    body = write_request(
        [one("b"), one("b", cluster="us"), one("b", "z"), one("b", "w", "us")],
        [[(T0 + 10**9, 1.0)], [(T0, 2.0)], [(T0, 3.0)], [(T0 + 10**9, 4.0)]],
    )
    decoded = decode_write_request(np.frombuffer(body, dtype=np.uint8), SEED).samples

    taken = admit(registry, decoded, TENANT, T0)

    assert taken.values.tolist() == [2.0]
    assert taken.n_copies == 2
    assert [(one.index, one.reason) for one in taken.refusals.examples] == [(3, "future")]


def test_a_tenant_without_the_setting_has_all_it_sends() -> None:
    registry = Registry(Settings())
    plain = Tenant("acme", "pro", 30)

    for replica in ("a", "b"):
        taken = receive(registry, plain, T0, one(replica))
        assert taken.series_ids.tolist() == [series_id_of(SEED, one(replica))]

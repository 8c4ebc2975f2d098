"""Pairs of replicas at the edge: one is taken, as series without the replica's label."""

import msgspec
import numpy as np

from pipeline.election import FAILOVER_MS, FORGET_MS
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.remote_write import decode_write_request
from tests.vectors.remote_write import write_request
from topology.edge.admit import admit
from topology.edge.intake import Intake, Registry
from topology.edge.pairs import MAX_REPLICAS
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


def test_series_of_replicas_beyond_the_bound_keep_their_label() -> None:
    """Without it the samples of two of them would be one series, each doubled."""
    registry = Registry(Settings())
    many = [one(f"r{at}", cluster=f"c{at // 2}") for at in range(MAX_REPLICAS)]
    receive(registry, TENANT, T0, *many)

    for _ in range(2):
        further = [one("x"), one("y")]
        taken = receive(registry, TENANT, T0, *further)
        assert taken.series_ids.tolist() == [series_id_of(SEED, labels) for labels in further]
        assert taken.n_copies == 0
    assert [labels for block in taken.new_series for labels in block.labels()] == further
    again = receive(registry, TENANT, T0, *many)
    assert (len(again.series_ids), again.n_copies) == (MAX_REPLICAS // 2, MAX_REPLICAS // 2)


def test_one_tenants_replicas_leave_room_for_those_of_others() -> None:
    registry = Registry(Settings())
    receive(registry, TENANT, T0, *[one(f"r{at}") for at in range(MAX_REPLICAS + 10)])
    other = msgspec.structs.replace(TENANT, name="other")

    for replica, n_taken in (("a", 1), ("b", 0)):
        assert len(receive(registry, other, T0, one(replica)).series_ids) == n_taken


def test_replicas_that_nobody_has_heard_for_an_hour_make_room() -> None:
    """Their series are found again when they come back."""
    registry = Registry(Settings())
    receive(registry, TENANT, T0, *[one(f"r{at}") for at in range(MAX_REPLICAS)])
    receive(registry, TENANT, T0 + FORGET_MS, one("r7"))
    later = T0 + FORGET_MS + 1

    new = receive(registry, TENANT, later, one("new", cluster="us"))
    back = receive(registry, TENANT, later + FAILOVER_MS, one("r3"))

    eu, us = [
        series_id_of(SEED, {"__name__": "up", "cluster": cluster}) for cluster in ("eu", "us")
    ]
    assert (new.series_ids.tolist(), back.series_ids.tolist()) == ([us], [eu])
    assert len(registry.pairs._by_number) == 3

"""Metadata of remote write 1.0 at the edge: what series are announced as, what others are told."""

import msgspec
import numpy as np

from pipeline.families import Told, families_of
from schemas.edges import EdgeAlive, FamiliesTold, decode_alive, encode_alive
from schemas.series import MetricType
from tests.vectors.remote_write import Family, write_request
from topology.edge.intake import Intake, Registry
from topology.edge.metadata import MetricMetadata
from topology.edge.protocols.remote_write import RemoteWrite
from topology.producer import MAX_RECORD_BYTES
from topology.settings import Settings
from topology.tenants import Tenant

T0 = 1_700_000_000_000
MINUTE_MS = 60_000
TENANT = Tenant("acme", "pro", 30)
UP = [{"__name__": "up"}, {"__name__": "requests_total"}]


def receive(
    registry: Registry, *families: Family, at_ms: int = T0, tenant: Tenant = TENANT, n: int = 2
) -> Intake:
    """Let an edge read a request of n series, and take it for published."""
    body = write_request(UP[:n], [[(at_ms, 1.0)]] * n, families)
    intake = RemoteWrite(registry).read(np.frombuffer(body, dtype=np.uint8), tenant, at_ms)
    for keys in intake.new_keys:
        registry.known.add(keys, at_ms)
    return intake


def announced(intake: Intake) -> list[tuple[str, int, str]]:
    return [
        (labels["__name__"], int(kind), unit)
        for block in intake.new_series
        for labels, kind, unit in zip(block.labels(), block.types, block.units, strict=True)
    ]


def test_a_series_is_announced_again_when_its_type_is_told_or_changes() -> None:
    """Not when it is repeated, and not when nothing is heard of it any more."""
    registry = Registry(Settings())
    counter, gauge = Family("requests", MetricType.COUNTER, "bytes"), Family("up", MetricType.GAUGE)

    intakes = [
        receive(registry),
        receive(registry, counter, n=0),
        receive(registry),
        receive(registry, counter, gauge),
        receive(registry, Family("requests", MetricType.HISTOGRAM), counter, gauge),
        receive(registry, Family("requests_total", MetricType.GAUGE)),
        receive(registry),
    ]

    assert [announced(one) for one in intakes] == [
        [("up", 0, ""), ("requests_total", 0, "")],
        [],
        [("requests_total", MetricType.COUNTER, "bytes")],
        [("up", MetricType.GAUGE, "")],
        [],
        [("requests_total", MetricType.GAUGE, "")],
        [],
    ]
    assert [one.n_written for one in intakes] == [2, 0, 2, 2, 2, 2, 2]


def test_a_replica_that_takes_over_announces_nothing_again() -> None:
    """A typed series of a pair has one key, whichever replica it comes from."""
    registry = Registry(Settings())
    pair = Tenant("acme", "pro", 30, ha_cluster_label="cluster", ha_replica_label="replica")
    family = Family("up", MetricType.GAUGE)

    for at_ms, replica in ((T0, "a"), (T0 + 31_000, "b")):
        labels = {"__name__": "up", "cluster": "eu", "replica": replica}
        body = write_request([labels], [[(at_ms, 1.0)]], [family])
        intake = RemoteWrite(registry).read(np.frombuffer(body, np.uint8), pair, at_ms)
        for keys in intake.new_keys:
            registry.known.add(keys, at_ms)

    assert (intake.values.tolist(), announced(intake)) == ([1.0], [])


def test_what_one_edge_is_told_another_one_knows() -> None:
    here, there = Registry(Settings()), Registry(Settings())
    receive(here, Family("up", MetricType.GAUGE), Family("requests", MetricType.COUNTER, "ü"))

    record = encode_alive(EdgeAlive("here", families=here.metadata.take()))
    for told in decode_alive(record).families:
        there.metadata.hear(told, T0)

    assert announced(receive(there)) == [
        ("up", MetricType.GAUGE, ""),
        ("requests_total", MetricType.COUNTER, "ü"),
    ]
    receive(there, Family("up", MetricType.GAUGE))
    assert (here.metadata.take(), there.metadata.take()) == ([], [])


def test_a_record_of_an_edge_before_has_no_families() -> None:
    assert decode_alive(b'{"name":"a","leaders":[]}').families == []


def names_of(told: list[FamiliesTold]) -> list[tuple[str, int]]:
    return [(one.tenant, len(one.families)) for one in told]


def test_each_tenant_has_a_part_of_a_record_and_none_is_forgotten() -> None:
    """One with 9,000 families beside one with three."""
    metadata = MetricMetadata(100_000)
    many = [(f"family_{at}", MetricType.GAUGE, "") for at in range(9_000)]
    metadata.note("large", families_of(many), T0)
    metadata.note("small", families_of(many[:3]), T0)

    told = []
    while taken := metadata.take():
        assert len(encode_alive(EdgeAlive("a", families=taken))) < MAX_RECORD_BYTES
        told.append(taken)

    assert names_of(told[0])[1] == ("small", 3)
    assert all(tenant == "large" for taken in told[1:] for tenant, _ in names_of(taken))
    heard = [one for taken in told for one in taken if one.tenant == "large"]
    assert [family for one in heard for family in one.families] == many


def test_what_is_told_at_once_is_bounded_whatever_tenants_send() -> None:
    """Names as long as they may be, and units whose every byte is escaped in JSON."""
    metadata = MetricMetadata(1 << 20)
    families: list[Told] = [
        (f"{at:0>1024}", MetricType.GAUGE, f"{at:0>200}" + "\x01" * 56) for at in range(200)
    ]
    for tenant in range(150):
        metadata.note(f"tenant-{tenant}", families_of(families), T0)

    sizes, n_told = [], 0
    while taken := metadata.take():
        sizes.append(len(msgspec.json.encode(taken)))
        n_told += sum(n for _, n in names_of(taken))

    assert max(sizes) < MAX_RECORD_BYTES - 10_000
    # The others wait for their senders to repeat them.
    assert n_told == 20_000
    again = metadata.note("tenant-149", families_of(families), T0 + MINUTE_MS)
    assert (again, names_of(metadata.take())[0][0]) == (False, "tenant-149")


def test_a_tenant_over_its_limit_is_named_once_an_edge_asks() -> None:
    metadata = MetricMetadata(40)

    metadata.note("acme", families_of([(f"m{at}", 2, "") for at in range(13)]), T0)

    assert (metadata.max_of_tenant, metadata.take_left_out()) == (10, {"acme": 3})
    assert metadata.take_left_out() == {}

"""What an edge makes of the signs of life of others, which it reads some minutes back."""

from types import SimpleNamespace
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from structlog.testing import capture_logs

from pipeline.families import families_of
from schemas.edges import EdgeAlive, FamiliesTold, encode_alive
from schemas.series import MetricType
from tests.topology.running import make_context
from topology.clock import now_ms
from topology.edge.intake import Registry
from topology.edge.metadata import MetricMetadata
from topology.edge.peers import LIVE_S, Peers
from topology.settings import Settings


def record(offset: int, age_ms: int, **alive: Any) -> ConsumerRecord:
    value = encode_alive(EdgeAlive(**alive))
    return cast(
        "ConsumerRecord",
        SimpleNamespace(offset=offset, timestamp=now_ms() - age_ms, value=value),
    )


async def test_an_old_record_tells_of_types_and_of_nobody_alive() -> None:
    """Ten records had been there at the start; one after them counts, whatever its clock says."""
    registry = Registry(Settings())
    peers = Peers(make_context("edge", Settings()), cast("AIOKafkaProducer", None), registry)
    old_ms = int(LIVE_S * 1000) + 1000
    peers._live_from, peers._live_since_ms = 10, now_ms() - int(LIVE_S * 1000)
    told = [FamiliesTold("acme", [("up", MetricType.GAUGE, "")])]

    for at, (offset, age_ms, name) in enumerate(
        [(3, old_ms, "gone"), (9, 1_000, "recent"), (10, old_ms, "slow clock")]
    ):
        peers._take(record(offset, age_ms, name=name, families=told))

        assert peers.n_live() == (1, 2, 3)[at]
    assert len(registry.metadata.of("acme").slots)
    await peers._consumer.stop()


async def test_a_tenant_with_too_many_metrics_is_named_in_the_log_once_an_hour() -> None:
    registry = Registry(Settings())
    registry.metadata = MetricMetadata(40)
    with capture_logs() as lines:
        peers = Peers(make_context("edge", Settings()), cast("AIOKafkaProducer", None), registry)

        for tenant in ("acme", "acme", "other"):
            many = families_of([(f"m{at}", MetricType.GAUGE, "") for at in range(11)])
            registry.metadata.note(tenant, many, now_ms())
            peers._say_left_out()

    assert [(one["tenant"], one["families"], one["max_names_of_tenant"]) for one in lines] == [
        ("acme", 1, 10),
        ("other", 1, 10),
    ]
    await peers._consumer.stop()


async def test_an_edge_hears_of_types_what_it_told_before_its_own_restart() -> None:
    registry = Registry(Settings())
    peers = Peers(make_context("edge", Settings()), cast("AIOKafkaProducer", None), registry)
    told = [FamiliesTold("acme", [("up", MetricType.GAUGE, "")])]

    peers._take(record(0, 60_000, name=peers._name, families=told))

    assert peers.n_live() == 1
    assert len(registry.metadata.of("acme").slots)
    await peers._consumer.stop()

"""The edge at its limits: it slows its senders, and goes on by itself."""

import pytest

from tests.topology.edge.test_edge import edge_client
from topology import disk
from topology.settings import Settings

MIB = 1 << 20

pytestmark = pytest.mark.broker


async def test_a_nearly_full_disk_of_the_broker_is_answered_with_503_until_it_has_room(
    kafka: Settings, own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker ends on a full disk, so an edge stops before that, and goes on after."""
    free = {"bytes": 99}
    monkeypatch.setattr(disk, "free_bytes", lambda _: free["bytes"])
    embedded = {"kafka": None, "port": kafka.port, "min_free_bytes": 200}
    settings = own_settings.model_copy(update=embedded)
    body = {"metrics": [{"name": "test", "value": 1}]}

    async with edge_client(settings) as client:
        refused = await client.post("/api/v1/ingest", json=body)
        status = await client.get("/api/v1/ingest")
        free["bytes"] = 100
        taken = await client.post("/api/v1/ingest", json=body)

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "2"
    assert "99 bytes free, at least 100 needed (min_free_bytes)" in refused.json()["error"]
    assert (status.status_code, taken.status_code) == (200, 200)


async def test_bodies_above_the_budget_are_answered_with_503_and_smaller_ones_taken(
    own_settings: Settings,
) -> None:
    """An eighth of 64 MiB: a body of 5 MiB counts as received and again as decompressed."""
    settings = own_settings.model_copy(update={"memory_bytes": 64 * MIB})
    point = {"name": "test", "value": 1, "labels": {"padding": "x" * 4000}}

    async with edge_client(settings) as client:
        refused = await client.post("/api/v1/ingest", json={"metrics": [point] * 1250})
        taken = await client.post("/api/v1/ingest", json={"metrics": [point] * 100})
        metrics = (await client.get("/metrics")).text

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "2"
    assert f"at most {8 * MIB} (an eighth of memory_bytes)" in refused.json()["error"]
    assert taken.status_code == 200
    assert 'observai_memory_bytes{part="in_flight"} 0.0' in metrics
    assert 'observai_memory_bytes{part="known_series"}' in metrics

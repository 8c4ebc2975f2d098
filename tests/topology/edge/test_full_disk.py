"""The edge before the disk of its broker is full."""

import pytest

from tests.topology.edge.test_edge import edge_client
from topology import disk
from topology.settings import Settings

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

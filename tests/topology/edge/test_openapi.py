"""The edge's OpenAPI document is served, and true."""

import pytest

from tests.topology.documents import check_document
from tests.topology.edge.test_edge import edge_client
from topology.edge.intake import Registry
from topology.edge.routes import make_endpoints
from topology.settings import Settings

pytestmark = pytest.mark.broker


async def test_the_document_of_the_edge_holds_for_whatever_is_sent(own_settings: Settings) -> None:
    async with edge_client(own_settings) as client:
        key = client.headers.pop("Authorization").removeprefix("Bearer ")
        document = (await client.get("/openapi.json")).json()
        await check_document(client, document, key)

    paths = {one.path.replace(":path", "") for one in make_endpoints(Registry(own_settings))}
    assert paths <= set(document["paths"])
    assert "/api/v1/write" in paths

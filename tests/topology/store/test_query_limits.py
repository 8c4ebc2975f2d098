"""What one query may use: by the tenant's own limits, each named in the refusal."""

import pytest

from tests.topology.store.rows import store_series
from topology.settings import load_settings
from topology.store.client import Engine
from topology.store.queries import Queries, QueryFailed
from topology.tenants import Tenant


async def test_a_tenant_has_its_own_rows_and_the_next_query_the_changed_ones(
    engine: Engine, tenant: str
) -> None:
    most = {"rows": 5}
    queries = Queries(
        load_settings(), lambda name: Tenant(name, "free", 30, query_max_rows=most["rows"])
    )
    queries.open(engine)
    store_series(engine, tenant, {at: {"__name__": "m", "a": str(at)} for at in range(1, 9)})

    with pytest.raises(QueryFailed, match="more than query_max_rows=5 rows"):
        await queries.run(tenant, "SELECT metric FROM series", "json")
    most["rows"] = 8
    answer = await queries.run(tenant, "SELECT metric FROM series", "json")

    assert answer.count(b'"m"') == 8
    queries._threads.shutdown()

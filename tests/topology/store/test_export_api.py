"""Stored rows of any tenant for an operator's key, in bounded pieces, in the order of their key."""

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from starlette.applications import Starlette

from tests.topology.rings import add_key, new_ring
from tests.topology.store.rows import NOON_MS, sample_block, store_samples
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.settings import load_settings
from topology.store.client import Engine
from topology.store.export_api import ExportApi
from topology.store.queries import Queries
from topology.tenants import DEFAULT_TENANT, Tenant

PATH = "/api/v1/admin/stored"
RANGE = {"from_ms": str(NOON_MS), "to_ms": str(NOON_MS + 3_600_000)}


@pytest.fixture
def ring(tenant: str) -> KeyRing:
    return new_ring(*(Tenant(name, "pro", 30) for name in (tenant, DEFAULT_TENANT)))


def _key(ring: KeyRing, tenant: str, *scopes: str) -> dict[str, str]:
    text = add_key(ring, tenant, *scopes)
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
async def client(engine: Engine, ring: KeyRing) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the operator's key; a result may have 10,000 rows (conftest.py)."""
    queries = Queries(load_settings(query_max_rows=10_000))
    queries.open(engine)
    app = Starlette(routes=ExportApi(ring, queries, Metrics()).routes())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://store",
        headers=_key(ring, DEFAULT_TENANT, "admin"),
    ) as opened:
        yield opened
    queries.close()


def table_of(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


async def test_samples_come_once_by_time_and_series_in_the_range(
    client: httpx.AsyncClient, engine: Engine, tenant: str
) -> None:
    """Ids and times as asked for; of a repeated sample the last; bits of NaN kept."""
    nan = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
    rows = [(9, NOON_MS + 5, 1.0), (7, NOON_MS + 5, 2.0), (9, NOON_MS, nan), (8, NOON_MS - 1, 4.0)]
    store_samples(engine, sample_block(tenant, rows))
    store_samples(engine, sample_block(tenant, [(7, NOON_MS + 5, 3.0), (6, NOON_MS, 0.0)]))

    asked = RANGE | {"tenant": tenant, "first_id": "7", "last_id": "9"}
    found = table_of(await client.get(f"{PATH}/samples", params=asked))

    assert found["series_id"].to_pylist() == [9, 7, 9]
    assert found["time_ms"].to_pylist() == [NOON_MS, NOON_MS + 5, NOON_MS + 5]
    assert found["value"].to_pylist()[1:] == [3.0, 1.0]
    assert found["value"].to_numpy().view(np.uint64)[0] == 0x7FF0000000000002


async def test_a_piece_with_too_many_rows_is_refused_as_too_large(
    client: httpx.AsyncClient, engine: Engine, tenant: str
) -> None:
    rows = [(number, NOON_MS, 1.0) for number in range(10_001)]
    store_samples(engine, sample_block(tenant, rows))
    asked = RANGE | {"tenant": tenant}

    assert (await client.get(f"{PATH}/samples", params=asked)).status_code == 413
    fewer = table_of(await client.get(f"{PATH}/samples", params=asked | {"last_id": "9999"}))

    assert fewer.num_rows == 10_000


async def test_only_an_operator_may_name_other_tenants(
    client: httpx.AsyncClient, ring: KeyRing, tenant: str
) -> None:
    """An admin of a tenant gets its own rows; a key without the scope nothing."""
    own = _key(ring, tenant, "admin")
    asked = RANGE | {"tenant": DEFAULT_TENANT}

    answers = [
        await client.get(f"{PATH}/samples", params=RANGE, headers=own),
        await client.get(f"{PATH}/samples", params=asked, headers=own),
        await client.get(f"{PATH}/tenants", headers=own),
        await client.get(f"{PATH}/samples", params=RANGE, headers=_key(ring, tenant, "read")),
    ]

    assert [answer.status_code for answer in answers] == [200, 403, 403, 403]
    assert (await client.get(f"{PATH}/tenants")).json() == sorted([tenant, DEFAULT_TENANT])


@pytest.mark.parametrize("what", ["samples", "rollups", "series", "sizes", "facts"])
async def test_no_rows_are_a_table_too(client: httpx.AsyncClient, tenant: str, what: str) -> None:
    asked = RANGE | {"tenant": tenant, "width_s": "60"}

    found = table_of(await client.get(f"{PATH}/{what}", params=asked))

    assert found.num_rows == (1 if what == "facts" else 0)


@pytest.mark.parametrize(
    ("what", "change", "status"),
    [
        ("nothing", {}, 404),
        ("samples", {"from_ms": "soon"}, 400),
        ("samples", {"last_id": str(2**64)}, 400),
        ("rollups", {"width_s": str(2**32)}, 400),
        ("samples", {"tenant": "nobody"}, 404),
    ],
)
async def test_a_wrong_question_is_refused(
    client: httpx.AsyncClient, what: str, change: dict[str, str], status: int
) -> None:
    assert (await client.get(f"{PATH}/{what}", params=RANGE | change)).status_code == status

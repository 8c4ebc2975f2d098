"""`/api/v1/admin/verify` as the command meets it: keys, tenants, bounds, and what it answers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pyarrow.ipc
import pytest
from starlette.applications import Starlette

from tests.topology.rings import add_key, add_tenant, new_ring
from tests.topology.store.rows import NOON_MS, sample_block, store_samples, store_series
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.settings import load_settings
from topology.store import verify
from topology.store.client import Engine
from topology.store.queries import Queries
from topology.store.verify import Verdict, Verifier
from topology.store.verify_api import PATH, Chosen, VerifyApi
from topology.tenants import DEFAULT_TENANT, Tenant

NOON_S = NOON_MS // 1000
LARGEST = 2**64 - 1
WINDOWS = {"series_ids": [LARGEST], "from_s": NOON_S, "to_s": NOON_S + 3600}


class Client:
    """Asks as one tenant's key or another's."""

    def __init__(self, http: httpx.AsyncClient, ring: KeyRing) -> None:
        self._http = http
        self._ring = ring

    async def post(
        self, tenant: str, path: str, question: dict[str, Any], *scopes: str
    ) -> httpx.Response:
        if self._ring.tenant(tenant) is None:
            add_tenant(self._ring, Tenant(tenant, "pro", 30))
        text = add_key(self._ring, tenant, *(scopes or ("admin",)))
        headers = {"Authorization": f"Bearer {text}"}
        return await self._http.post(PATH + path, json=question, headers=headers)


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    ring = new_ring()
    queries = Queries(load_settings())
    queries.open(engine)
    app = Starlette(routes=VerifyApi(ring, Verifier(queries), Metrics()).routes())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://store") as opened:
        yield Client(opened, ring)
    queries.close()


@pytest.fixture
def row(engine: Engine, tenant: str) -> None:
    """One sample of the tenant, whose window is missing."""
    store_series(engine, tenant, {LARGEST: {"__name__": "test", "host": "a"}})
    store_samples(engine, sample_block(tenant, [(LARGEST, NOON_MS + 7, 1.5)]))


@pytest.mark.usefixtures("row")
async def test_a_tenants_own_key_sees_its_windows(client: Client, tenant: str) -> None:
    answer = await client.post(tenant, "", WINDOWS)

    verdict = msgspec.json.decode(answer.content, type=Verdict)
    assert [(one.width_s, one.n_wrong) for one in verdict.widths] == [(60, 1), (300, 1), (3600, 1)]
    assert verdict.differences[0].labels == {"host": "a"}


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("", WINDOWS),
        ("/series", {"from_s": NOON_S, "limit": 10}),
        ("/samples", {"series_ids": [LARGEST], "from_ms": NOON_MS, "to_ms": NOON_MS + 1000}),
    ],
)
async def test_who_may_ask_about_whom(
    client: Client, tenant: str, path: str, question: dict[str, Any]
) -> None:
    """403 without the scope and for another's name; the operator may name any tenant there is."""
    named = question | {"tenant": tenant}

    assert (await client.post(tenant, path, question, "read", "write")).status_code == 403
    # Before anything is said of the question.
    assert (await client.post(tenant, path, {}, "read", "write")).status_code == 403
    assert (await client.post(tenant, path, named)).status_code == 200
    refused = await client.post("other", path, named)
    assert refused.status_code == 403
    assert "leave the tenant out" in refused.json()["error"]
    assert (await client.post(DEFAULT_TENANT, path, named)).status_code == 200
    unknown = await client.post(DEFAULT_TENANT, path, question | {"tenant": "nobody"})
    assert unknown.status_code == 404


@pytest.mark.usefixtures("row")
async def test_another_tenants_rows_are_not_seen(client: Client) -> None:
    """Whatever ids it asks for."""
    compared = await client.post("other", "", WINDOWS)
    chosen = await client.post("other", "/series", {"from_s": 0, "limit": 1000})
    rows = await client.post(
        "other", "/samples", {"series_ids": [LARGEST], "from_ms": 0, "to_ms": 2 * NOON_MS}
    )

    assert compared.json() == {"widths": [], "differences": []}
    assert chosen.json()["series_ids"] == []
    assert pyarrow.ipc.open_stream(rows.content).read_all().num_rows == 0


@pytest.mark.usefixtures("row")
async def test_series_come_with_the_time_from_which_all_is_kept(
    client: Client, tenant: str
) -> None:
    answer = await client.post(tenant, "/series", {"from_s": NOON_S, "limit": 10})

    chosen = msgspec.json.decode(answer.content, type=Chosen)
    assert (chosen.tenant, chosen.series_ids) == (tenant, [LARGEST])
    assert 0 < chosen.kept_from_s < NOON_S


async def test_samples_come_bit_by_bit_in_pages(
    client: Client, engine: Engine, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By series and time, past the place that is given."""
    monkeypatch.setattr("topology.store.verify_api.MAX_ROWS", 2)
    stale = float.fromhex("nan")
    rows = [(2, NOON_MS, 1.0), (1, NOON_MS + 1, stale), (1, NOON_MS, -0.0), (3, NOON_MS, 1.0)]
    store_samples(engine, sample_block(tenant, rows))
    question = {"series_ids": [1, 2], "from_ms": NOON_MS, "to_ms": NOON_MS + 1000}

    pages = []
    after: dict[str, int] = {}
    while True:
        answer = await client.post(tenant, "/samples", question | after)
        page = pyarrow.ipc.open_stream(answer.content).read_all().to_pylist()
        if not page:
            break
        pages.append(page)
        after = {"after_series": page[-1]["series_id"], "after_ms": page[-1]["time_ms"]}

    assert pages == [
        [
            {"series_id": 1, "time_ms": NOON_MS, "bits": 1 << 63},
            {"series_id": 1, "time_ms": NOON_MS + 1, "bits": 0x7FF8 << 48},
        ],
        [{"series_id": 2, "time_ms": NOON_MS, "bits": 0x3FF << 52}],
    ]


@pytest.mark.parametrize(
    ("path", "question", "words"),
    [
        ("", WINDOWS | {"series_ids": []}, "0 series_ids: 1 to 1000"),
        ("", WINDOWS | {"series_ids": [1] * 1001}, "1001 series_ids"),
        ("", WINDOWS | {"to_s": NOON_S + 3 * 86_400}, "at most 93600 s apart"),
        ("", WINDOWS | {"to_s": NOON_S - 1}, "at most 93600 s apart"),
        ("", {"series_ids": [1]}, "missing required field `from_s`"),
        ("", WINDOWS | {"odd": 1}, "unknown field `odd`"),
        ("/series", {"from_s": 0, "limit": 100_000}, "limit=100000: 1 to 1000"),
        ("/samples", {"series_ids": "x", "from_ms": 0, "to_ms": 1}, "Expected `array`"),
        ("", WINDOWS | {"series_ids": [LARGEST + 1]}, "an id is at most 18446744073709551615"),
        ("/series", {"from_s": 0, "limit": 1, "factor": -1}, "Expected `int` >= 0"),
        ("/series", {"from_s": 0, "limit": 1, "seed": 1 << 64}, "an id is at most"),
    ],
)
async def test_a_question_out_of_bounds_is_refused(
    client: Client, tenant: str, path: str, question: dict[str, Any], words: str
) -> None:
    """With what is allowed."""
    answer = await client.post(tenant, path, question)

    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_bounds_are_those_of_the_verifier() -> None:
    """A page of series fits one comparison."""
    assert verify.MAX_SERIES * 20 < 64_000

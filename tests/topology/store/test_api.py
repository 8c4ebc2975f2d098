"""`/api/v1/sql` as clients meet it: keys, formats, limits, and errors in plain words."""

import io
import json
from collections.abc import AsyncIterator

import httpx
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from starlette.applications import Starlette

from tests.topology.rings import add_key, new_ring
from tests.topology.store.rows import NOON_MS, sample_block, store_samples, store_series
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.settings import load_settings
from topology.store.api import SqlApi
from topology.store.client import Engine
from topology.store.queries import Queries
from topology.tenants import Tenant

PATH = "/api/v1/sql"


_SLOW = (
    "SELECT count() FROM (SELECT arrayJoin(range(3000)) AS a) AS a "
    "CROSS JOIN (SELECT arrayJoin(range(3000)) AS b) AS b "
    "CROSS JOIN (SELECT arrayJoin(range(3000)) AS c) AS c "
    "WHERE sipHash64(a.a, b.b, c.c) = 1"
)


@pytest.fixture
def ring(tenant: str) -> KeyRing:
    return new_ring(Tenant(tenant, "pro", 30))


@pytest.fixture
async def client(engine: Engine, ring: KeyRing, tenant: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key that may read."""
    settings = load_settings(query_timeout_s=2, query_memory_bytes=256 << 20, query_max_rows=10_000)
    queries = Queries(settings)
    queries.open(engine)
    app = Starlette(routes=SqlApi(ring, queries, Metrics()).routes())
    key = add_key(ring, tenant, "read")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://store",
        headers={"Authorization": f"Bearer {key}"},
    ) as opened:
        yield opened
    queries.close()


@pytest.fixture
def row(engine: Engine, tenant: str) -> None:
    """One sample of the tenant."""
    store_series(engine, tenant, {2**64 - 1: {"__name__": "test", "host": "a"}})
    store_samples(engine, sample_block(tenant, [(2**64 - 1, NOON_MS + 7, 1.5)]))


@pytest.mark.usefixtures("row")
async def test_json_holds_columns_rows_and_time(client: httpx.AsyncClient) -> None:
    """Integers as integers, times as ISO 8601 in UTC, maps as objects."""
    answer = (await client.get(PATH, params={"query": "SELECT * FROM samples"})).json()

    assert answer["columns"][0] == {"name": "time", "type": "DateTime64(3, 'UTC')"}
    assert answer["rows"] == [["2027-01-15T08:00:00.007Z", 2**64 - 1, "test", {"host": "a"}, 1.5]]
    assert answer["elapsed_ms"] > 0


async def test_json_holds_nan_and_infinities_as_strings(client: httpx.AsyncClient) -> None:
    """JSON has no numbers for them; null stays for NULL."""
    answer = (await client.get(PATH, params={"query": "SELECT nan, inf, -inf, NULL, 1.0"})).json()

    assert answer["rows"] == [["nan", "inf", "-inf", None, 1]]


@pytest.mark.usefixtures("row")
async def test_csv_arrow_and_parquet_hold_the_same(client: httpx.AsyncClient) -> None:
    """Each with its media type."""
    sql = "SELECT metric, value, labels FROM samples"

    csv, arrow, parquet = [
        await client.get(PATH, params={"query": sql, "format": name})
        for name in ("csv", "arrow", "parquet")
    ]

    table = pa.ipc.open_stream(arrow.content).read_all()
    assert csv.text == '"metric","value","labels"\n"test",1.5,"{\'host\':\'a\'}"\n'
    assert table["metric"].to_pylist() == ["test"]
    assert table["labels"].to_pylist() == [[("host", "a")]]
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.content)).to_pylist() == table.to_pylist()
    assert [one.headers["content-type"] for one in (csv, arrow, parquet)] == [
        "text/csv; charset=utf-8",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.parquet",
    ]


@pytest.mark.parametrize("name", ["json", "csv", "arrow", "parquet"])
async def test_an_empty_result_has_its_columns(client: httpx.AsyncClient, name: str) -> None:
    """In every format."""
    sql = "SELECT metric, value FROM samples"

    answer = await client.get(PATH, params={"query": sql, "format": name})

    assert answer.status_code == 200
    match name:
        case "json":
            found = [column["name"] for column in answer.json()["columns"]]
            assert answer.json()["rows"] == []
        case "csv":
            found = json.loads(f"[{answer.text.strip()}]")
        case "arrow":
            found = pa.ipc.open_stream(answer.content).schema.names
        case _:
            found = pyarrow.parquet.read_schema(io.BytesIO(answer.content)).names
    assert found == ["metric", "value"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/plain"}, b"SELECT 1 + 1"),
        ({"Content-Type": "application/json"}, b'{"query": "SELECT 1 + 1"}'),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"query=SELECT+1+%2B+1"),
        # What curl -d sends.
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"SELECT 1 + 1"),
        ({}, b"SELECT 1 + 1"),
    ],
)
async def test_a_statement_may_be_posted_in_any_usual_way(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes
) -> None:
    """As text, JSON or a form."""
    answer = await client.post(PATH, content=body, headers=headers)

    assert answer.json()["rows"] == [[2]]


async def test_keys_decide_who_reads(client: httpx.AsyncClient, ring: KeyRing, tenant: str) -> None:
    """401 without or with an unknown key, 403 without the scope; all three schemes are taken."""
    reader = add_key(ring, tenant, "read")
    writer = add_key(ring, tenant, "write")

    async def status(authorization: str) -> int:
        headers = {"Authorization": authorization}
        answer = await client.get(PATH, params={"query": "SELECT 1"}, headers=headers)
        return answer.status_code

    assert await status("") == 401
    assert await status("Bearer oai_unknown") == 401
    assert await status(f"Bearer {writer}") == 403
    assert await status(f"Bearer {reader}") == 200
    assert await status(f"Token {reader}") == 200


@pytest.mark.parametrize(
    ("sql", "status", "code", "words"),
    [
        ("DROP TABLE samples", 400, "REFUSED_STATEMENT", "DROP is not allowed: only SELECT is"),
        ("SELECT nothing FROM samples", 400, "UNKNOWN_IDENTIFIER", "nothing"),
        ("SELECT value + 'a' FROM samples", 400, "ILLEGAL_TYPE_OF_ARGUMENT", "Illegal types"),
        (
            "SELECT arrayJoin(range(20000)) FROM (SELECT count() FROM samples)",
            *(413, "TOO_MANY_ROWS_OR_BYTES", "more than query_max_rows=10000 rows"),
        ),
        (
            "SELECT arrayJoin(range(20000))",
            *(413, "TOO_MANY_ROWS_OR_BYTES", "more than query_max_rows=10000 rows"),
        ),
        (
            "SELECT 1 UNION ALL SELECT arrayJoin(range(20000))",
            *(413, "TOO_MANY_ROWS_OR_BYTES", "more than query_max_rows=10000 rows"),
        ),
        (
            "SELECT uniqExact(x) FROM (SELECT arrayJoin(range(100000000)) AS x)",
            *(413, "MEMORY_LIMIT_EXCEEDED", "query_memory_bytes=268435456"),
        ),
        (
            _SLOW,
            *(408, "TIMEOUT_EXCEEDED", "longer than query_timeout_s=2"),
        ),
    ],
)
async def test_an_error_says_in_plain_words_what_is_wrong(
    client: httpx.AsyncClient, sql: str, status: int, code: str, words: str
) -> None:
    """Without the engine's trimmings; a limit is named by its setting."""
    answer = await client.post(PATH, content=sql)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["error"]
    for noise in ("DB::Exception", "Code:", "version 2", "In scope", "stored_"):
        assert noise not in answer.json()["error"]


async def test_a_request_without_statement_or_with_an_odd_format_is_refused(
    client: httpx.AsyncClient,
) -> None:
    """With an example or the list of formats."""
    nothing = await client.get(PATH)
    odd = await client.get(PATH, params={"query": "SELECT 1", "format": "xml"})
    bad_json = await client.post(PATH, content=b"{", headers={"Content-Type": "application/json"})

    assert (nothing.status_code, odd.status_code, bad_json.status_code) == (400, 400, 400)
    assert "for example SELECT" in nothing.json()["error"]
    assert "one of json, csv, arrow, parquet" in odd.json()["error"]


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("format_name", ["json", "csv", "arrow", "parquet"])
async def test_a_query_after_a_failed_one_gets_its_own_result(
    client: httpx.AsyncClient, format_name: str
) -> None:
    """The engine's handle keeps what a query had written when it failed."""
    late = "SELECT x, intDiv(1, toInt64(x) - 9000) FROM (SELECT arrayJoin(range(9500)) AS x)"
    wanted = {"query": "SELECT 'next' AS word FROM samples", "format": format_name}
    expected = (await client.get(PATH, params=wanted)).content

    failed = await client.get(PATH, params={"query": late, "format": format_name})
    after = await client.get(PATH, params=wanted)

    assert failed.status_code in {400, 413}
    assert after.status_code == 200
    if format_name == "json":
        assert after.json()["rows"] == [["next"]]
    else:
        assert after.content == expected


async def test_before_the_keys_are_read_the_answer_is_503_and_not_401(
    client: httpx.AsyncClient, ring: KeyRing
) -> None:
    """Senders drop what they are refused with 401."""
    ring.is_loaded = False

    answer = await client.get(PATH, params={"query": "SELECT 1"})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]

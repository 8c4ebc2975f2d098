"""Influx line protocol over a real broker: both versions, their answers and their probes."""

import gzip

import httpx
import pytest

from pipeline.hashing import series_id_of
from tests.topology.edge.test_edge import SEED, announced, edge_client, now_ms, stored
from topology.settings import Settings

pytestmark = pytest.mark.broker


async def test_lines_are_taken_in_the_precision_of_the_request(own_settings: Settings) -> None:
    """The fields of a line are a series each; what is text is counted and left out."""
    at = now_ms() // 1000 * 1000
    text = f'cpu,host=a\\ b value=1.5,idle=2i,up=t,note="x" {at}'

    async with edge_client(own_settings) as client:
        first = await client.post("/write?db=any&precision=ms", content=text)
        second = await client.post(
            "/api/v2/write?org=o&bucket=b&precision=s",
            content=gzip.compress(f"cpu,host=a\\ b value=7 {at // 1000 - 1}".encode()),
            headers={"Content-Encoding": "gzip"},
        )
        metrics = (await client.get("/metrics")).text

    assert [(one.status_code, one.content) for one in (first, second)] == [(204, b"")] * 2
    told = await announced(own_settings)
    names = {"cpu": 1.5, "cpu_idle": 2.0, "cpu_up": 1.0}
    ids = {name: series_id_of(SEED, {"__name__": name, "host": "a b"}) for name in ("cpu", *names)}
    assert {told[series]["__name__"] for series in told} == set(names)
    assert sorted(await stored(own_settings)) == sorted(
        [(ids[name], at, value) for name, value in names.items()] + [(ids["cpu"], at - 1000, 7.0)]
    )
    assert 'observai_strings_skipped_total{protocol="influx_1",tenant="default"} 1.0' in metrics


async def test_good_lines_are_kept_and_bad_ones_named(own_settings: Settings) -> None:
    at = now_ms()
    text = f"a v=1 {at}\nbad\n\na v=x\na v=2 {at + 10**8}\na,t= v=3 {at}\n"

    async with edge_client(own_settings) as client:
        first = await client.post("/write?precision=ms", content=text)
        second = await client.post("/api/v2/write?precision=ms", content=text)
        late = await client.post("/api/v2/write?precision=ms", content=f"\na v=2,w=1 {at + 10**8}")
        units = {
            "": await client.post("/write", content="a v=1 5"),
            "s": await client.post("/write?precision=s", content="a v=1 5"),
        }

    assert (first.status_code, second.status_code, late.status_code) == (400, 400, 422)
    error = first.json()["error"]
    assert error == first.headers["X-Influxdb-Error"]
    assert error.startswith("partial write: line 2: unable to parse 'bad': missing fields; line 4:")
    assert error.endswith(" dropped=4")
    assert second.json()["code"] == "invalid"
    assert second.json()["line"] == 2
    assert "dropped 4 lines: line 2: unable to parse 'bad'" in second.json()["message"]
    assert "line 5: a_v: timestamp" in second.json()["message"]
    assert late.json()["code"] == "unprocessable entity"
    assert late.json()["line"] == 2
    assert "timestamps are in nanoseconds" in units[""].json()["error"]
    assert "timestamp 5000 ms is older" in units["s"].json()["error"]
    assert "timestamps are in seconds" in units["s"].json()["error"]
    assert "partial write: dropped 1 lines: line 2: a_" in late.json()["message"]
    assert [value for _, _, value in await stored(own_settings)] == [1.0, 1.0]


async def test_keys_come_as_influx_clients_send_them(own_settings: Settings) -> None:
    async with edge_client(own_settings) as client:
        key = client.headers.pop("authorization").removeprefix("Bearer ")
        line = "a v=1"

        async def status(path: str, authorization: str = "") -> int:
            headers = {"Authorization": authorization} if authorization else {}
            return (await client.post(path, content=line, headers=headers)).status_code

        assert await status("/api/v2/write", f"Token {key}") == 204
        assert await status("/api/v2/write", f"Token user:{key}") == 204
        assert await status(f"/write?u=user&p={key}") == 204
        assert await status("/write", httpx.BasicAuth("user", key)._auth_header) == 204
        assert await status("/write?u=user&p=other") == 401
        assert await status("/write") == 401
        refused = [await client.post(path, content=line) for path in ("/write", "/api/v2/write")]

    assert "no API key" in refused[0].json()["error"]
    assert refused[1].json()["code"] == "unauthorized"


async def test_what_is_refused_as_a_whole_has_the_versions_form(own_settings: Settings) -> None:
    broken = {"Content-Encoding": "gzip"}
    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/write?precision=d", content="a v=1"),
            await client.post("/api/v2/write?precision=m", content="a v=1"),
            await client.post("/write", content="x", headers=broken),
            await client.post("/api/v2/write", content="x", headers=broken),
        ]

    assert [one.status_code for one in answers] == [400] * 4
    assert answers[0].json()["error"].startswith("unable to parse: precision 'd': expected one of")
    assert answers[1].json()["message"] == "precision 'm': expected one of ns, us, ms, s"
    assert answers[2].json()["error"].startswith("unable to parse: not gzip")
    assert answers[3].json()["code"] == "invalid"


async def test_probes_of_clients_are_answered(own_settings: Settings) -> None:
    async with edge_client(own_settings) as client:
        show = await client.get("/query", params={"q": "SHOW DATABASES"})
        create = await client.post("/query", data={"q": 'CREATE DATABASE "telegraf"'})
        other = await client.get("/query", params={"q": "SELECT 1"})
        del client.headers["authorization"]
        ping, head = await client.get("/ping"), await client.head("/ping")
        health = await client.get("/health")
        without_key = await client.get("/query", params={"q": "SHOW DATABASES"})
        long = await client.post("/query", data={"q": "x" * 9000})

    assert (ping.status_code, head.status_code) == (204, 204)
    assert ping.headers["X-Influxdb-Version"].startswith("1.8.")
    assert (health.status_code, health.json()["status"]) == (200, "pass")
    databases = {"name": "databases", "columns": ["name"], "values": [["default"]]}
    assert show.json() == {"results": [{"statement_id": 0, "series": [databases]}]}
    assert create.json() == {"results": [{"statement_id": 0}]}
    assert (other.status_code, without_key.status_code, long.status_code) == (400, 401, 401)
    assert "only SHOW DATABASES" in other.json()["error"]

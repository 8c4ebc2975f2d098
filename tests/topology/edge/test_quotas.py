"""Limits of a tenant at the edge: what is refused, in which words, and how edges share them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import pytest

from schemas.config import TenantRecord, encode_entry
from schemas.events import Rejected, decode_events
from schemas.series import MetricType
from schemas.topics import Topic
from tests.topology.edge.test_edge import now_ms, snappy, stored
from tests.topology.running import bootstrap, make_context, publish_config, read_topic, running
from tests.vectors.remote_write import Family, write_request
from tests.waiting import wait_until_async
from topology.config_feed import make_ring
from topology.edge.main import edge
from topology.keys import generate_key
from topology.settings import Settings

pytestmark = pytest.mark.broker


async def add_tenant(settings: Settings, name: str, **limits: int | str) -> dict[str, str]:
    """Publish a tenant and a key of it; return the header that the key goes in."""
    key, text = generate_key(name, secret=make_ring(settings).secret)
    tenant = TenantRecord(name, "enterprise", overrides=dict(limits))
    await publish_config(settings, [encode_entry(tenant), encode_entry(key)])
    return {"Authorization": f"Bearer {text}"}


def metrics_named(*names: str) -> dict[str, object]:
    return {"metrics": [{"name": name, "value": 1, "labels": {"job": "j"}} for name in names]}


@asynccontextmanager
async def edge_running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running(edge, make_context("edge", settings)),
        httpx.AsyncClient(base_url=settings.role_url("edge")) as client,
    ):
        yield client


async def test_limits_speak_and_edges_share_them(own_settings: Settings) -> None:
    """One deployment for all of it: series first, then the rate, then a second edge."""
    await bootstrap(own_settings)
    few = await add_tenant(own_settings, "few", active_series=2)
    slow = await add_tenant(own_settings, "slow", samples_per_s=1, samples_burst=4)
    labels = {"ha_cluster_label": "cluster", "ha_replica_label": "replica"}
    pair = await add_tenant(own_settings, "pair", **labels)
    second = {"slot": "second", "port": own_settings.port + 4}
    third = {"slot": "third", "port": own_settings.port + 5}

    async with edge_running(own_settings) as client:
        await check_series(client, few)
        assert len(await stored(own_settings)) == 4
        await check_rate(client, slow)
        async with edge_running(own_settings.model_copy(update=second)) as other:
            await check_series_of_another_edge(other, few)
            await wait_until_async(lambda: are_live(client, 2), 20, "two edges")
            assert (await write(client, pair, "a")).status_code == HTTPStatus.NO_CONTENT
            await wait_until_async(lambda: is_copy(other, pair, "b"), 20, "election told")
            await check_types(client, other, pair)
        await wait_until_async(lambda: are_live(client, 1), 20, "one edge")
    async with edge_running(own_settings) as client:
        await check_series_of_another_edge(client, few)
        async with edge_running(own_settings.model_copy(update=third)) as late:
            await wait_until_async(lambda: knows_types(late), 20, "types told before its start")
            # Of those it has read about, one is gone.
            await wait_until_async(lambda: are_live(late, 2), 20, "the edge that is alive")
    told = [one for one in await events(own_settings) if one.metric == "c"]
    assert [(one.tenant, one.reason, one.count) for one in told][-1] == ("few", "active_series", 3)
    assert told[-1].labels == {"__name__": "c", "job": "j"}


async def events(settings: Settings) -> list[Rejected]:
    records = await read_topic(settings, Topic.EVENTS)
    told = [event for record in records for event in decode_events(record.value)]
    return [event for event in told if isinstance(event, Rejected)]


async def check_series(client: httpx.AsyncClient, few: dict[str, str]) -> None:
    """Of three series two may be active, in any protocol."""
    answer = await client.post("/api/v1/ingest", json=metrics_named("a", "b", "c"), headers=few)
    assert answer.json() == {
        "accepted": 2,
        "rejected": 1,
        "errors": [
            {
                "index": 2,
                "reason": "active_series",
                "message": "c{job=\"j\"}: a new series, and tenant 'few' has 2 active within "
                "65 minutes, at most 2 (active_series); the samples of those go on being taken",
            }
        ],
    }
    labels = [{"__name__": name, "job": "j"} for name in ("c", "a")]
    body = snappy(write_request(labels, [[(now_ms(), 5.0)]] * 2))
    answer = await client.post("/api/v1/write", content=body, headers=few)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "sample 0: c{job=\"j\"}: a new series, and tenant 'few'" in answer.text
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    lines = f"a,job=j value=6 {now_ms()}\n\nc,job=j value=6,x=7"
    answer = await client.post("/api/v2/write?precision=ms", content=lines, headers=few)
    assert (answer.status_code, answer.json()["line"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, 3)
    assert 'dropped 1 lines: line 3: c{job="j"}: a new series' in answer.json()["message"]


async def check_rate(client: httpx.AsyncClient, slow: dict[str, str]) -> None:
    """A body twice the burst is taken, and the next one has to wait."""
    answer = await client.post("/api/v1/ingest", json=metrics_named(*"abcdefgh"), headers=slow)
    assert answer.json()["accepted"] == 8
    answer = await client.post("/api/v1/ingest", json=metrics_named("a"), headers=slow)
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert 1 <= int(answer.headers["Retry-After"]) <= 4
    assert answer.json()["code"] == "rate"
    assert "tenant 'slow' sends more than 1 samples/s (samples_per_s" in answer.json()["error"]
    metrics = (await client.get("/metrics")).text
    assert 'observai_requests_refused_total{code="429",tenant="slow"} 1.0' in metrics
    assert 'observai_active_series{tenant="few"} 2.0' in metrics


async def check_series_of_another_edge(client: httpx.AsyncClient, few: dict[str, str]) -> None:
    """An edge that has just started takes those that are active, and no other."""
    new = await client.post("/api/v1/ingest", json=metrics_named("d", "e"), headers=few)
    old = await client.post("/api/v1/ingest", json=metrics_named("a", "b"), headers=few)

    assert (new.status_code, old.status_code) == (HTTPStatus.BAD_REQUEST, HTTPStatus.OK)
    assert "'few' has 2 active within 65 minutes, at most 2 (active_series)" in new.text


async def write(client: httpx.AsyncClient, key: dict[str, str], replica: str) -> httpx.Response:
    labels = [{"__name__": "up", "cluster": "eu", "replica": replica}]
    body = snappy(write_request(labels, [[(now_ms(), 5.0)]]))
    return await client.post("/api/v1/write", content=body, headers=key)


async def is_copy(client: httpx.AsyncClient, key: dict[str, str], replica: str) -> bool:
    """Whether samples of this replica are answered as written, and not taken."""
    answer = await write(client, key, replica)
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    metrics = (await client.get("/metrics")).text
    return 'observai_samples_deduplicated_total{tenant="pair"}' in metrics


async def check_types(
    client: httpx.AsyncClient, other: httpx.AsyncClient, key: dict[str, str]
) -> None:
    """What a sender tells one edge of its metrics, another one knows."""
    told = snappy(write_request([], [], [Family("lamps", MetricType.GAUGE)]))
    answer = await client.post("/api/v1/write", content=told, headers=key)
    assert answer.status_code == HTTPStatus.NO_CONTENT
    await wait_until_async(lambda: knows_types(other), 20, "types of another edge")


async def knows_types(client: httpx.AsyncClient) -> bool:
    return 'observai_memory_bytes{part="metadata"} 2048.0' in (await client.get("/metrics")).text


async def are_live(client: httpx.AsyncClient, n: int) -> bool:
    return f"observai_edges_live {n}.0" in (await client.get("/metrics")).text

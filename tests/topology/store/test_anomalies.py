"""Events of stored anomalous windows: as a relation, over HTTP, and made again without a change."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

from schemas.scores import ScoreBlock
from tests.topology.rings import add_key, new_ring
from tests.topology.running import make_context
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, read, store_series
from tests.waiting import wait_until_async
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.settings import load_settings
from topology.store.anomalies import Grouping, watch_anomalies
from topology.store.anomalies_api import PATH, AnomaliesApi
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.news import News
from topology.store.queries import Queries
from topology.store.writer import Writer
from topology.tenants import Tenant

MINUTE_MS = 60_000
T0_MS = NOON_MS // 21_600_000 * 21_600_000
HOST = 3


def scores(tenant: str, rows: Sequence[tuple[int, int, float]]) -> ScoreBlock:
    """Return scores of (series, minute, score); the alarm is the score where that is above 1."""
    ids, minutes, values = zip(*rows, strict=True)
    n, score = len(rows), np.array(values, dtype=np.float32)
    columns: tuple[Any, ...] = (
        T0_MS + np.array(minutes, dtype=np.int64) * MINUTE_MS,
        np.array(ids, dtype=np.uint64),
        *np.ones((4, n)),
        *(score, np.where(score > 1, score, np.float32(0)), np.zeros(n, dtype=np.float32)),
        np.zeros(n, dtype=np.uint8),
    )
    return ScoreBlock(tenant, T0_MS, RETENTION_DAYS, 60, *columns)


def series_of(host: int, metric: int) -> int:
    return host * 10 + metric + 1


def incident(minute: int, n: int = 8) -> list[tuple[int, int, float]]:
    return [(series_of(HOST, at), minute, 1.2 + at / 10) for at in range(n)]


@pytest.fixture
def writer(engine: Engine, tenant: str) -> Writer:
    """A writer, after a quiet day of 20 hosts of ten series each."""
    labels = {
        series_of(host, metric): {"__name__": f"m{metric}", "host": f"h{host}", "env": 'a"b'}
        for host in range(20)
        for metric in range(10)
    }
    store_series(engine, tenant, labels)
    opened = Writer(engine, Metrics(), now_ms)
    quiet = [(one, minute, 0.4) for one in (1, 11) for minute in range(-1500, 0, 60)]
    opened.insert(Batch(0.0, scores=[scores(tenant, quiet)]))
    return opened


def group(engine: Engine, tenant: str, first_minute: int = 0, last_minute: int = 60) -> int:
    first_s, last_s = ((T0_MS + at * MINUTE_MS) // 1000 for at in (first_minute, last_minute))
    return engine.operate(lambda client: Grouping().update(client, tenant, first_s, last_s))


def test_an_event_is_a_row_of_relation_anomalies(
    engine: Engine, writer: Writer, tenant: str
) -> None:
    writer.insert(Batch(0.0, scores=[scores(tenant, incident(5))]))

    assert group(engine, tenant) == 1

    (row,) = read(engine, tenant, "SELECT * FROM anomalies")
    start, end, peak, count, metric, labels, members, detected, _ = row
    assert (start.timestamp() * 1000 - T0_MS) / MINUTE_MS == 5
    assert (end - start).total_seconds() == 60
    assert (detected - start).total_seconds() == 60
    assert (peak, count, metric) == (pytest.approx(1.9), 8, "")
    assert labels == {"host": "h3", "env": 'a"b'}
    assert members[0] == 'm7{env="a\\"b",host="h3"}'
    assert len(members) == 8


def test_a_second_pass_changes_nothing_and_a_late_window_what_it_must(
    engine: Engine, writer: Writer, tenant: str
) -> None:
    """The late one begins the event earlier: the row that stood for it is taken back."""
    writer.insert(Batch(0.0, scores=[scores(tenant, incident(5))]))
    group(engine, tenant)
    before = read(engine, tenant, "SELECT * FROM anomalies")
    group(engine, tenant)
    again = read(engine, tenant, "SELECT * FROM anomalies")

    writer.insert(Batch(0.0, scores=[scores(tenant, [(series_of(HOST, 9), 4, 1.5)])]))
    group(engine, tenant)
    after = read(engine, tenant, "SELECT * FROM anomalies")

    assert before == again
    assert len(after) == 1
    assert (before[0][0] - after[0][0]).total_seconds() == 60
    assert after[0][3] == 9


def test_the_pass_that_saw_most_windows_stays(engine: Engine, writer: Writer, tenant: str) -> None:
    """Of two stores, one groups before the other's windows are there, and writes after it."""
    writer.insert(Batch(0.0, scores=[scores(tenant, incident(5, n=6))]))
    group(engine, tenant)
    early = engine.operate(
        lambda client: client.query_arrow(
            "SELECT * FROM stored_anomalies FINAL WHERE tenant = {tenant:String}",
            parameters={"tenant": tenant},
        )
    )
    writer.insert(Batch(0.0, scores=[scores(tenant, incident(6))]))
    group(engine, tenant)
    engine.writer.insert_arrow("stored_anomalies", early)

    assert read(engine, tenant, "SELECT series_count FROM anomalies") == [(8,)]


def test_series_that_are_not_announced_yet_are_grouped_later(
    engine: Engine, writer: Writer, tenant: str
) -> None:
    unknown = [(1000 + at, 5, 1.5) for at in range(8)]
    writer.insert(Batch(0.0, scores=[scores(tenant, unknown)]))
    grouping = Grouping()
    span_s = (T0_MS // 1000, T0_MS // 1000 + 3600)

    before = engine.operate(lambda client: grouping.update(client, tenant, *span_s))
    labels = {series: {"__name__": f"m{series}", "host": "new"} for series, _, _ in unknown}
    store_series(engine, tenant, labels)
    after = engine.operate(lambda client: grouping.update(client, tenant, *span_s))

    # Without labels only four of the equal alarms are events, each of its own.
    assert (before, after) == (4, 1)
    assert read(engine, tenant, "SELECT series_count, labels FROM anomalies") == [
        (8, {"host": "new"})
    ]


async def test_what_is_stored_is_grouped_by_itself(engine: Engine, tenant: str) -> None:
    """What was stored before the start, and what comes after it."""
    news = News()
    writer = Writer(engine, Metrics(), now_ms, news)
    labels = {series_of(HOST, at): {"__name__": f"m{at}", "host": "h3"} for at in range(10)}
    store_series(engine, tenant, labels)
    quiet = [(series_of(HOST, 0), minute, 0.4) for minute in range(-1500, 0, 60)]
    writer.insert(Batch(0.0, scores=[scores(tenant, [*quiet, *incident(5)])]))
    news.take()
    watching = asyncio.create_task(
        watch_anomalies(make_context("store", load_settings()), engine, news)
    )

    async def count() -> int:
        rows = await asyncio.to_thread(read, engine, tenant, "SELECT count() FROM anomalies")
        return int(rows[0][0])

    async def is_one() -> bool:
        return await count() == 1

    async def are_two() -> bool:
        return await count() == 2

    try:
        await wait_until_async(is_one, 20, "the event from before")
        await asyncio.to_thread(writer.insert, Batch(0.0, scores=[scores(tenant, incident(300))]))
        await wait_until_async(are_two, 60, "the event of what came after")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture
async def client(engine: Engine, tenant: str) -> AsyncIterator[httpx.AsyncClient]:
    ring = new_ring(Tenant(tenant, "pro", 30))
    queries = Queries(load_settings())
    queries.open(engine)
    app = Starlette(routes=AnomaliesApi(ring, queries, Metrics()).routes())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://store",
        headers={"Authorization": f"Bearer {add_key(ring, tenant, 'read')}"},
    ) as opened:
        yield opened
    queries.close()


async def test_events_come_as_json(
    client: httpx.AsyncClient, engine: Engine, writer: Writer, tenant: str
) -> None:
    writer.insert(Batch(0.0, scores=[scores(tenant, [*incident(5), *incident(300)])]))
    group(engine, tenant, 0, 300)

    day = {"from": str(T0_MS), "to": str(T0_MS + 86_400_000)}
    both = (await client.get(PATH, params=day)).json()["anomalies"]
    few = (await client.get(PATH, params=day | {"limit": "1"})).json()["anomalies"]
    large = (await client.get(PATH, params=day | {"min_series": "9"})).json()["anomalies"]
    hour = {"from": "2027-01-15T06:00:00Z", "to": "2027-01-15T07:00:00Z"}
    early = (await client.get(PATH, params=hour)).json()["anomalies"]
    today = (await client.get(PATH)).json()["anomalies"]
    day_before = (await client.get(PATH, params={"to": day["to"]})).json()["anomalies"]

    assert [one["series_count"] for one in both] == [8, 8]
    assert both[0]["start"] > both[1]["start"]
    assert both[0]["labels"]["host"] == "h3"
    assert few == both[:1]
    assert day_before == both
    assert large == today == []
    assert early == both[1:]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"from": "yesterday"}, "from='yesterday'"),
        ({"to": "2026-01-31T08:00:00"}, "to='2026-01-31T08:00:00'"),
        ({"from": "2000", "to": "1000"}, "from=2000 is after to=1000 (ms since 1970): give the"),
        ({"limit": "0"}, "limit='0': a number from 1 to 1000"),
        ({"min_series": "x"}, "min_series='x'"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    client: httpx.AsyncClient, given: dict[str, str], words: str
) -> None:
    answer = await client.get(PATH, params=given)

    assert answer.status_code == 400
    assert words in answer.json()["error"]


async def test_a_key_is_needed(client: httpx.AsyncClient) -> None:
    answer = await client.get(PATH, headers={"Authorization": "Bearer none"})

    assert answer.status_code == 401

"""Tenants, keys and audit over the real broker and engine: who may do what, and what follows."""

import asyncio
import os
import tomllib
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from starlette.applications import Starlette

from schemas.events import Rejected, encode_events
from schemas.samples import decode_samples
from schemas.topics import Topic
from tests.topology.documents import check_document
from tests.topology.running import bootstrap, make_context, producing, read_topic, running
from tests.topology.store.attempts import Victim, attempts
from tests.topology.store.rows import read, store_series
from tests.waiting import wait_until_async
from topology.clock import now_ms
from topology.config_feed import ConfigFeed
from topology.edge.main import edge
from topology.keys import KeyRing
from topology.openapi import document_route
from topology.settings import Settings
from topology.store.administration import Administration
from topology.store.api import SqlApi
from topology.store.client import Engine
from topology.store.gate import Gate
from topology.store.queries import Queries

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

ADMIN = "/api/v1/admin"
SEED, N_ATTEMPTS = 20_261, int(os.environ.get("ATTEMPTS", "300"))
SCOPES_TRIED = (("read", "write", "admin"), ("read",), ("write",))


OPERATORS_RULES = """
[[rule]]
metric = "noisy"
exclude = true
[[rule]]
tenant = "another"
exclude = true
[widths]
default = [10, 60]
"""


@dataclass
class Store:
    """The admin API of one store: requests with a key, and the ring of another process."""

    settings: Settings
    http: httpx.AsyncClient
    follower: KeyRing
    operator: str

    async def ask(
        self, method: str, path: str, key: str | None = None, **arguments: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.operator}"}
        return await self.http.request(method, ADMIN + path, headers=headers, **arguments)

    async def make_key(self, tenant: str, *scopes: str) -> dict[str, Any]:
        body = {"tenant": tenant, "scopes": list(scopes)}
        answer = await self.ask("POST", "/keys", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def followed(self, condition: Any, what: str) -> None:
        """Wait until the other process sees it: within two seconds."""

        async def holds() -> bool:
            return bool(condition(self.follower))

        await wait_until_async(holds, 2, what)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    kafka: Settings, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Store]:
    """One store for all tests here: they differ by their tenants."""
    folder = tmp_path_factory.mktemp("admin")
    rules = folder / "rules.toml"
    rules.write_text(OPERATORS_RULES)
    settings = kafka.model_copy(
        update={
            "topic_prefix": f"test-{uuid.uuid4().hex[:12]}.",
            "data_dir": folder,
            "anomaly_rules": rules,
        }
    )
    operator = await bootstrap(settings)
    context = make_context("store", settings)
    feed, follower = ConfigFeed(context), ConfigFeed(make_context("edge", settings))
    queries = Queries(settings)
    queries.open(engine)
    async with producing(settings) as producer:
        administration = Administration(context, feed, queries, producer)
        sql = SqlApi(feed.ring, queries, context.metrics)
        routes = [*administration.routes(), *sql.routes()]
        app = Starlette(routes=[*routes, document_route("store", routes)])
        await follower.start()
        tasks = await administration.begin(engine, Gate(None))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://store"
        ) as http:
            yield Store(settings, http, follower.ring, operator)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await administration.stop()
        await follower.stop()
        queries._threads.shutdown()


@pytest_asyncio.fixture(loop_scope="module")
async def store(deployment: Store, tenant: str) -> Store:
    """The store, with a tenant of the test's own."""
    added = await deployment.ask("POST", "/tenants", json={"name": tenant, "tier": "pro"})
    assert added.status_code == 201, added.text
    return deployment


async def test_a_tenant_is_added_changed_and_removed_for_every_process(
    store: Store, tenant: str
) -> None:
    path = f"/tenants/{tenant}"
    shown = (await store.ask("GET", path)).json()
    await store.followed(lambda ring: ring.tenant(tenant), "added")
    changed = await store.ask("PATCH", path, json={"tier": "free", "set": {"max_labels": 9}})
    await store.followed(lambda ring: ring.tenant(tenant).max_labels == 9, "changed")
    back = await store.ask("PATCH", path, json={"unset": ["max_labels"]})
    key = await store.make_key(tenant, "read")
    removed = await store.ask("DELETE", path)
    await store.followed(lambda ring: ring.tenant(tenant) is None, "removed")

    assert (shown["tier"], shown["limits"]["max_labels"], shown["overrides"]) == ("pro", 64, {})
    assert changed.json()["limits"]["max_labels"] == 9
    assert (back.json()["tier"], back.json()["limits"]["max_labels"]) == ("free", 32)
    assert removed.status_code == 204
    assert store.follower.lookup(key["key"], now_ms()) is None
    assert tenant not in [one["name"] for one in (await store.ask("GET", "/tenants")).json()]


async def test_the_name_of_a_removed_tenant_is_not_given_to_another(
    store: Store, tenant: str
) -> None:
    """Who got it would read the rows of the one before."""
    await store.ask("DELETE", f"/tenants/{tenant}")

    again = await store.ask("POST", "/tenants", json={"name": tenant})
    restored = await store.ask("POST", "/tenants", json={"name": tenant, "restore": True})
    twice = await store.ask("POST", "/tenants", json={"name": tenant, "restore": True})

    assert (again.status_code, restored.status_code, twice.status_code) == (409, 201, 409)
    assert "was removed at" in again.json()["error"]


async def test_a_whole_number_may_have_a_point_and_a_choice_is_one_of_its_words(
    store: Store, tenant: str
) -> None:
    """As JSON Schema has it: 86400.0 is an integer."""
    asked = {"tenant": tenant, "scopes": ["read"], "expires_s": 86_400.0}

    made = await store.ask("POST", "/keys", json=asked)
    half = await store.ask("POST", "/keys", json=asked | {"expires_s": 0.5})
    listed = await store.ask("GET", "/keys?all=yes")

    assert (made.status_code, half.status_code, listed.status_code) == (201, 400, 400)
    assert "got `float` - at `$.expires_s`" in half.json()["error"]
    assert listed.json()["error"] == "all='yes': one of true, false"


async def test_a_key_is_shown_once_and_works_everywhere_until_it_is_revoked(
    store: Store, tenant: str
) -> None:
    made = await store.make_key(tenant, "read", "write")
    text, key_id = made.pop("key"), made["id"]
    await store.followed(lambda ring: ring.lookup(text, now_ms()), "made")
    listed = (await store.ask("GET", f"/keys?tenant={tenant}")).json()
    revoked = await store.ask("DELETE", f"/keys/{key_id}")
    await store.followed(lambda ring: ring.lookup(text, now_ms()) is None, "revoked")

    assert (made["scopes"], made["tenant"]) == (["read", "write"], tenant)
    assert [one["id"] for one in listed] == [key_id]
    assert text not in str(listed)
    assert revoked.status_code == 204
    assert (await store.ask("DELETE", f"/keys/{key_id}")).status_code == 204
    assert (await store.ask("GET", f"/keys?tenant={tenant}")).json() == []
    (dead,) = (await store.ask("GET", f"/keys?tenant={tenant}&all=true")).json()
    assert dead["state"] == "revoked"


async def test_a_key_is_rotated_with_an_overlap(store: Store, tenant: str) -> None:
    old = await store.make_key(tenant, "write")

    with_overlap = await store.ask("POST", f"/keys/{old['id']}/rotate", json={})
    both = (await store.ask("GET", f"/keys?tenant={tenant}")).json()
    at_once = await store.ask(
        "POST", f"/keys/{with_overlap.json()['id']}/rotate", json={"overlap_s": 0}
    )
    late = await store.ask("POST", f"/keys/{with_overlap.json()['id']}/rotate", json={})

    assert with_overlap.json()["scopes"] == ["write"]
    assert with_overlap.json()["replaces"] == old["id"]
    assert len(both) == 2
    assert both[0]["expires"] == with_overlap.json()["old_expires"]
    left = (await store.ask("GET", f"/keys?tenant={tenant}")).json()
    assert [one["id"] for one in left] == [old["id"], at_once.json()["id"]]
    assert late.status_code == 409
    assert "is expired" in late.json()["error"]


async def test_a_tenants_administrator_sees_and_changes_nothing_of_others(
    store: Store, tenant: str
) -> None:
    admin = (await store.make_key(tenant, "admin"))["key"]
    reader = (await store.make_key(tenant, "read"))["key"]
    (others,) = (await store.ask("GET", "/keys?tenant=default")).json()

    async def status(method: str, path: str, key: str = admin, **arguments: Any) -> int:
        return (await store.ask(method, path, key, **arguments)).status_code

    assert await status("GET", "/tiers") == 200
    assert await status("GET", f"/tenants/{tenant}") == 200
    assert await status("POST", "/keys", json={"scopes": ["read"]}) == 201
    assert await status("GET", "/tenants") == 403
    assert await status("GET", "/tenants/default") == 403
    assert await status("POST", "/tenants", json={"name": "x"}) == 403
    assert await status("PATCH", f"/tenants/{tenant}", json={"tier": "enterprise"}) == 403
    assert await status("DELETE", "/tenants/default") == 403
    assert await status("GET", "/keys?tenant=default") == 403
    assert await status("POST", "/keys", json={"scopes": ["read"], "tenant": "default"}) == 403
    assert await status("DELETE", f"/keys/{others['id']}") == 404
    assert await status("POST", f"/keys/{others['id']}/rotate", json={}) == 404
    assert await status("GET", "/audit?tenant=default") == 403
    assert {one["tenant"] for one in (await store.ask("GET", "/keys", admin)).json()} == {tenant}
    assert await status("GET", "/cardinality?tenant=default") == 403
    for path in ("/tiers", "/tenants", "/keys", "/audit", "/cardinality"):
        assert await status("GET", path, reader) == 403


@pytest.mark.parametrize(
    ("request_line", "body", "status", "words"),
    [
        ("POST /tenants", {"name": "a b"}, 400, "a letter or digit first"),
        ("POST /tenants", {"name": "a", "tier": "gold"}, 400, "'gold': one of free, pro"),
        ("POST /tenants", {"name": "a", "overrides": {"x": 1}}, 400, "x: no such limit"),
        ("POST /tenants", {"name": "a", "overrides": {"max_labels": 0}}, 400, "max_labels"),
        ("POST /tenants", {"nam": "a"}, 400, "nam"),
        ("PATCH /tenants/nobody", {"tier": "pro"}, 404, "no tenant 'nobody'"),
        ("PATCH /tenants/default", {"unset": ["x"]}, 400, "x: no such limit"),
        ("DELETE /tenants/default", None, 409, "cannot be removed"),
        ("DELETE /tenants/nobody", None, 404, "no tenant 'nobody'"),
        ("POST /keys", {"scopes": ["root"]}, 400, "root"),
        ("POST /keys", {"scopes": []}, 400, "scopes"),
        ("POST /keys", {"scopes": ["read"], "tenant": "nobody"}, 404, "no tenant 'nobody'"),
        ("POST /keys", {"scopes": ["read"], "expires_s": 0}, 400, "expires_s"),
        ("DELETE /keys/none", None, 404, "no key 'none'"),
        ("GET /audit?limit=x", None, 400, "limit='x': a number"),
    ],
)
async def test_what_is_wrong_is_said(
    store: Store, request_line: str, body: Any, status: int, words: str
) -> None:
    answer = await store.ask(*request_line.split(), json=body)

    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


async def test_the_last_key_of_the_operator_cannot_be_revoked(store: Store) -> None:
    first = store.operator
    (own,) = (await store.ask("GET", "/keys?tenant=default")).json()
    refused = await store.ask("DELETE", f"/keys/{own['id']}")
    second = await store.make_key("default", "admin")
    revoked = await store.ask("DELETE", f"/keys/{own['id']}", second["key"])

    store.operator = second["key"]
    assert (refused.status_code, revoked.status_code) == (409, 204)
    assert "last admin key" in refused.json()["error"]
    assert (await store.ask("GET", "/keys", first)).status_code == 401


async def test_every_change_is_audited_and_only_administrators_read_it(
    store: Store, engine: Engine, tenant: str
) -> None:
    admin = await store.make_key(tenant, "admin", "read")
    reader = await store.make_key(tenant, "read")
    await store.ask("PATCH", f"/tenants/{tenant}", json={"set": {"max_labels": 5}})
    await store.ask("DELETE", f"/keys/{reader['id']}", admin["key"])
    await store.ask("POST", "/tenants", json={"name": tenant})

    async def all_kept() -> bool:
        return len((await store.ask("GET", f"/audit?tenant={tenant}")).json()) == 5

    await wait_until_async(all_kept, 20, "five entries of the tenant")
    entries = (await store.ask("GET", "/audit", admin["key"])).json()
    assert [one["action"] for one in reversed(entries)] == [
        *("tenant.add", "key.create", "key.create", "tenant.set", "key.revoke"),
    ]
    last = entries[0]
    assert (last["actor"], last["actor_tenant"]) == (admin["id"], tenant)
    assert (last["target"], last["address"]) == (reader["id"], "127.0.0.1")
    assert entries[1]["details"] == "max_labels=5"
    assert all(one["tenant"] == tenant for one in entries)
    assert admin["key"] not in str(entries)

    async def rows(key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        query = {"query": "SELECT action FROM audit ORDER BY time"}
        return await store.http.get("/api/v1/sql", params=query, headers=headers)

    other = await store.make_key(tenant, "read")
    assert (await rows(admin["key"])).json()["rows"][0] == ["tenant.add"]
    assert (await rows(other["key"])).json()["error"].startswith("audit is for API keys")
    assert read(engine, f"{tenant}-other", "SELECT count() FROM audit") == [(0,)]


async def test_an_audit_entry_stands_in_the_log_if_and_only_if_its_change_does(
    store: Store, tenant: str
) -> None:
    before = len(await read_topic(store.settings, Topic.EVENTS))

    refused = await store.ask("POST", "/tenants", json={"name": tenant})
    unchanged = len(await read_topic(store.settings, Topic.EVENTS))
    await store.make_key(tenant, "read")

    assert refused.status_code == 409
    assert unchanged == before
    assert len(await read_topic(store.settings, Topic.EVENTS)) > before


async def test_refused_samples_are_a_relation_of_their_tenant(
    store: Store, engine: Engine, tenant: str
) -> None:
    """Counts of a source only grow, sources add up, and what is read twice counts once."""
    hour_ms = now_ms() // 3_600_000 * 3_600_000

    def rejected(source: str, count: int) -> Rejected:
        labels = {"__name__": "up", "job": "j"}
        return Rejected(tenant, hour_ms, "future", "up", source, labels, "too new", count)

    async with producing(store.settings) as producer:
        for events in (
            [rejected("a", 3)],
            [rejected("b", 2), rejected("a", 5)],
            [rejected("a", 3)],
        ):
            topic = store.settings.topic(Topic.EVENTS)
            await producer.send_and_wait(topic, encode_events(events))
    query = "SELECT hour, reason, metric, labels['job'], message, count FROM rejections"

    async def is_kept() -> bool:
        return [row[-1] for row in read(engine, tenant, query)] == [7]

    await wait_until_async(is_kept, 20, "rejections")
    (row,) = read(engine, tenant, query)
    assert row[0].timestamp() * 1000 == hour_ms
    assert row[1:] == ("future", "up", "j", "too new", 7)
    assert read(engine, f"{tenant}-other", query) == []


async def test_cardinality_names_the_metrics_and_labels_that_series_come_from(
    store: Store, engine: Engine, tenant: str
) -> None:
    """Twelve requests by three codes and four pods, and a metric alone; an old one is left out."""
    at_ms = now_ms()
    series = {
        at: {"__name__": "requests", "code": str(at % 3), "pod": f"p{at % 4}"} for at in range(12)
    }
    store_series(engine, tenant, series | {20: {"__name__": "up", "pod": "p0"}}, seen_ms=at_ms)
    store_series(engine, tenant, {30: {"__name__": "old"}}, seen_ms=at_ms - 7_200_000)
    store_series(engine, f"{tenant}-other", {40: {"__name__": "other"}}, seen_ms=at_ms)

    answer = await store.ask("GET", f"/cardinality?tenant={tenant}&limit=5")
    wider = await store.ask("GET", f"/cardinality?tenant={tenant}&within_min=180")

    found = answer.json()
    labels = found.pop("top_labels")
    assert [(one["label"], one["values"], one["series"]) for one in labels] == [
        ("pod", 4, 13),
        ("code", 3, 12),
    ]
    assert labels[0]["most_frequent"][0] == "p0"
    assert found == {
        "tenant": tenant,
        "within_min": 65,
        "series": 13,
        "active_series_limit": 200_000,
        "metrics": 2,
        "top_metrics": [{"metric": "requests", "series": 12}, {"metric": "up", "series": 1}],
    }
    assert [one["metric"] for one in wider.json()["top_metrics"]] == ["requests", "old", "up"]


async def test_a_tenant_says_what_of_its_series_is_scored(store: Store, tenant: str) -> None:
    """Its own administrator does, for nobody else; wrong rules change nothing."""
    path = f"/tenants/{tenant}/score-rules"
    own = (await store.make_key(tenant, "admin"))["key"]
    reader = (await store.make_key(tenant, "read"))["key"]
    rules = {"rule": [{"metric": "node_.*", "direction": "above", "least_relative": 0.2}]}

    put = await store.ask("PUT", path, key=own, json=rules)
    await store.followed(lambda ring: ring.score_rules.of(tenant).rules == rules["rule"], "rules")
    wrong = await store.ask("PUT", path, key=own, json={"rule": [{"metric": "("}]})
    many = await store.ask("PUT", path, key=own, json={"rule": [{}] * 101})
    refused = await store.ask("GET", path, key=reader)
    of_other = await store.ask("GET", "/tenants/default/score-rules", key=own)
    bearer = {"Authorization": f"Bearer {reader}"}
    held = await store.http.get("/api/v1/score-rules", headers=bearer)
    nobody = await store.http.get("/api/v1/score-rules")
    of_file = await store.ask("GET", "/score-rules")
    not_operator = await store.ask("GET", "/score-rules", key=own)
    shown = await store.ask("GET", path)
    none = await store.ask("PUT", path, json={"rule": []})
    await store.followed(lambda ring: not ring.score_rules.of(tenant).rules, "no rules")

    assert (put.status_code, put.json()) == (200, rules)
    assert (wrong.status_code, many.status_code) == (400, 400)
    assert "rule[0] metric='('" in wrong.json()["error"]
    assert "101 rules: a tenant may have 100" in many.json()["error"]
    assert (refused.status_code, of_other.status_code) == (403, 403)
    assert (nobody.status_code, not_operator.status_code) == (401, 403)
    assert of_file.json() == tomllib.loads(OPERATORS_RULES)
    assert held.json() == {
        "tenant": tenant,
        "rule": [*rules["rule"], {"metric": "noisy", "exclude": True}],
        "widths": [10, 60],
    }
    assert (shown.json(), none.json()) == (rules, {"rule": []})


async def test_an_operator_lets_a_stopped_partition_go_on_and_nobody_else_does(
    store: Store, tenant: str
) -> None:
    """It is told to all processes, and stands in the audit."""
    others = await store.make_key(tenant, "admin")
    body = {"topic": "scores", "partition": 2, "until_offset": 3}
    async with producing(store.settings) as producer:
        for _ in range(3):
            name = store.settings.topic(Topic.SCORES)
            await producer.send_and_wait(name, b"noise", partition=2)
    admin = AIOKafkaAdminClient(bootstrap_servers=store.settings.kafka_bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(name, 2): RecordsToDelete(before_offset=1)})
    await admin.close()

    refused = await store.ask("POST", "/skips", others["key"], json=body)
    wrong = [
        await store.ask("POST", "/skips", json=body | one)
        for one in (
            {"topic": "config"},
            {"until_offset": 4},
            {"until_offset": 1},
            {"partition": 99},
        )
    ]
    done = await store.ask("POST", "/skips", json=body)

    assert (refused.status_code, done.status_code) == (403, 200), done.text
    assert [one.status_code for one in wrong] == [400, 409, 409, 404]
    assert "topic 'config': one of samples, series" in wrong[0].json()["error"]
    assert "until_offset 4: the log ends at 3" in wrong[1].json()["error"]
    assert "until_offset 1: the log begins at 1" in wrong[2].json()["error"]
    await store.followed(lambda ring: ring.skips.covers("scores", 2, 2), "a skip")
    assert not store.follower.skips.covers(Topic.SCORES, 2, 3)
    assert not store.follower.skips.covers(Topic.SCORES, 1, 2)
    assert (await store.ask("GET", "/skips")).json() == [body]

    async def is_audited() -> bool:
        entries = (await store.ask("GET", "/audit?tenant=default")).json()
        return any(
            (one["action"], one["target"], one["details"])
            == ("records.skip", "scores/2", "until offset 3")
            for one in entries
        )

    await wait_until_async(is_audited, 20, "an audit entry")


async def test_the_document_of_the_admin_api_holds_for_whatever_is_sent(store: Store) -> None:
    document = (await store.http.get("/openapi.json")).json()
    await check_document(store.http, document, store.operator)

    assert {f"{ADMIN}{path}" for path in ("/tenants", "/keys", "/audit")} <= set(document["paths"])
    body = document["paths"][f"{ADMIN}/keys"]["post"]["requestBody"]
    schema = document["components"]["schemas"]["NewKey"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/NewKey")
    assert schema["required"] == ["scopes"]


async def test_random_attempts_at_another_tenant_read_nothing_and_write_nothing(
    store: Store, engine: Engine, tenant: str
) -> None:
    """A short form; ATTEMPTS=10000 is the campaign of docs/security.md."""
    name = f"{tenant}-victim"
    await store.ask("POST", "/tenants", json={"name": name, "tier": "pro"})
    made = await store.make_key(name, "read", "write", "admin")
    await store.followed(lambda ring: ring.key(made["id"]), "the victim's key")
    known = store.follower.key(made["id"])
    victim = Victim(name, made["key"], made["id"], known.digest if known else "")
    secret = {"__name__": f"secret_of_{name}", "word": "swordfish"}
    store_series(engine, name, {1: secret}, seen_ms=now_ms())
    own = [(await store.make_key(tenant, *scopes))["key"] for scopes in SCOPES_TRIED]
    before = (store.follower.record(name), store.follower.keys(name))
    context = make_context("edge", store.settings)

    async with (
        running(edge, context),
        httpx.AsyncClient(base_url=store.settings.role_url("edge")) as at_edge,
    ):
        tried = islice(attempts(SEED, victim, own), N_ATTEMPTS)
        counts: Counter[int] = Counter()
        for one in tried:
            client = at_edge if one.is_edge else store.http
            path = httpx.URL(one.path).copy_merge_params(one.query)
            answer = await client.request(one.method, path, headers=one.headers, content=one.body)
            counts[answer.status_code] += 1
            assert b"swordfish" not in answer.content, one
            assert (
                victim.key_id.encode() not in answer.content.replace(one.path.encode(), b"")
                or answer.status_code >= 400
            ), one
        assert not [status for status in counts if status >= 500], counts
    assert counts[200], "some of them are answered, with what is the attacker's own"

    assert (store.follower.record(name), store.follower.keys(name)) == before
    written = [
        block.tenant
        for record in await read_topic(store.settings, Topic.SAMPLES)
        for block in decode_samples(record.value)
        if len(block)
    ]
    assert written
    assert name not in written
    assert read(engine, name, "SELECT metric FROM series") == [(secret["__name__"],)]

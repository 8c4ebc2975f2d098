"""Random attempts of one tenant at another's data: each is a request that must get nowhere."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from topology.store.guard import RELATIONS

_TENANT_HEADERS = ("X-Scope-OrgID", "X-Tenant", "X-Observai-Tenant", "THANOS-TENANT", "X-Org-Id")
_TENANT_NAMES = ("tenant", "org", "db", "bucket", "database", "tenant_id", "log_comment", "name")


@dataclass(frozen=True, slots=True)
class Victim:
    """Who is attacked. digest: what stands of the key in topic config."""

    name: str
    key: str
    key_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request. is_edge: to the edge, not to the store."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes
    is_edge: bool = False


def attempts(seed: int, victim: Victim, own_keys: list[str]) -> Iterator[Attempt]:
    """Yield attempts without end, the same ones for a seed."""
    dice = random.Random(seed)
    while True:
        kind = dice.choice((_by_sql, _by_sql, _by_admin, _by_admin, _by_write))
        made = kind(dice, victim)
        headers = made.headers | {"Authorization": _key(dice, victim, own_keys)}
        if dice.random() < 0.5:
            headers[dice.choice(_TENANT_HEADERS)] = victim.name
        query = dict(made.query)
        if dice.random() < 0.5:
            query[dice.choice(_TENANT_NAMES)] = victim.name
        yield Attempt(made.method, made.path, headers, query, made.body, made.is_edge)


def _key(dice: random.Random, victim: Victim, own: list[str]) -> str:
    """Return an Authorization header: mostly a key that is the attacker's own."""
    if dice.random() < 0.7:
        text = dice.choice(own)
    else:
        at = dice.randrange(len(victim.key))
        guesses = (
            victim.key[:at] + dice.choice("abcXYZ019-_") + victim.key[at + 1 :],
            *(victim.key[:at], victim.key.upper(), victim.key + "=", victim.key.swapcase()),
            *(victim.key_id, victim.digest, victim.name, "", "oai_", "*", "' OR 1=1 --"),
        )
        text = dice.choice([one for one in guesses if one != victim.key])
    if dice.random() < 0.2:
        pair = base64.b64encode(f"{victim.name}:{text}".encode()).decode()
        return f"Basic {pair}"
    return f"{dice.choice(('Bearer', 'Token', 'bearer'))} {text}".strip()


def _by_sql(dice: random.Random, victim: Victim) -> Attempt:
    name = victim.name
    relation = dice.choice((*RELATIONS, "audit", "stored_series", "stored_samples", "stored_audit"))
    source = dice.choice(
        (
            *(relation, relation, f"observai.{relation}", f"`{relation}`", f"{relation} FINAL"),
            *(f"(SELECT * FROM {relation})", f"merge('observai', '{relation}')"),
            f"view(SELECT * FROM {relation} SETTINGS log_comment = '{name}')",
        )
    )
    columns = dice.choice(("*", "count()", "groupArray(tuple(*))", "toString(tuple(*))", "tenant"))
    where = dice.choice(
        ("", f" WHERE tenant = '{name}'", " WHERE 1 OR 1", f" WHERE metric = 'secret_of_{name}'")
    )
    ending = dice.choice(
        (
            *("", "", f" SETTINGS log_comment = '{name}'", " SETTINGS readonly = 0"),
            *(" LIMIT 5", " FORMAT Native", f" SETTINGS/**/log_comment/**/=/**/'{name}'"),
            f" UNION ALL SELECT {columns} FROM {relation}",
        )
    )
    statement = f"SELECT {columns} FROM {source}{where}{ending}"
    if dice.random() < 0.1:
        statement = f"SET log_comment = '{name}'; {statement}"
    if dice.random() < 0.5:
        return Attempt("GET", "/api/v1/sql", {}, {"query": statement}, b"")
    return Attempt("POST", "/api/v1/sql", {"Content-Type": "text/plain"}, {}, statement.encode())


def _by_admin(dice: random.Random, victim: Victim) -> Attempt:
    name, base = victim.name, "/api/v1/admin"
    scopes = ["read", "write", "admin"]
    requests: list[tuple[str, str, Any]] = [
        *(("GET", f"/{what}?tenant={name}", None) for what in ("keys", "audit", "cardinality")),
        *(("GET", path, None) for path in ("/tenants", f"/tenants/{name}", "/score-rules")),
        ("GET", "/keys?tenant=default", None),
        ("POST", "/skips", {"topic": "samples", "partition": 0, "until_offset": 9}),
        *(("GET", f"/tenants/{name}/score-rules", None), ("DELETE", f"/tenants/{name}", None)),
        ("PATCH", f"/tenants/{name}", {"set": {"retention_days": 1}}),
        ("POST", "/tenants", {"name": name, "tier": "enterprise", "restore": True}),
        ("POST", "/keys", {"scopes": scopes, "tenant": name}),
        ("POST", "/keys", {"scopes": scopes, "tenant": "default"}),
        ("DELETE", f"/keys/{victim.key_id}", None),
        ("POST", f"/keys/{victim.key_id}/rotate", {"overlap_s": 0}),
        ("DELETE", f"/keys/..%2f{victim.key_id}", None),
    ]
    method, path, body = dice.choice(requests)
    return Attempt(method, base + path, {}, {}, b"" if body is None else json.dumps(body).encode())


def _by_write(dice: random.Random, victim: Victim) -> Attempt:
    name = victim.name
    labels = {dice.choice(("tenant", "__tenant__", "__tenant_id__", "org")): name}
    point = {"name": f"forged_{dice.randrange(5)}", "value": 1, "labels": labels, "tenant": name}
    bodies = {
        "/api/v1/ingest": json.dumps({"metrics": [point], "tenant": name}).encode(),
        "/functions/v1/ingest": json.dumps([point]).encode(),
        "/api/v2/write": f"forged,tenant={name} a=1".encode(),
        "/write": f"forged,db={name} a=1".encode(),
        "/api/v1/import/prometheus": f'forged{{tenant="{name}"}} 1\n'.encode(),
    }
    path = dice.choice(list(bodies))
    query = {"u": name, "org": name, "bucket": name} if "write" in path else {}
    return Attempt("POST", path, {}, query, bodies[path], is_edge=True)

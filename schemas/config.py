"""Records of topic `config`: tiers, tenants, keys, rules, skips, as JSON.

Their keys are like `tenant/acme`.

The topic is compacted, so of each key the last record counts; one without a value removes.
"""

import re
from enum import StrEnum
from typing import Any

import msgspec

from schemas.errors import InvalidRecord

ConfigRecord = tuple[bytes, bytes | None]
"""Key and value of a record."""

LimitValue = int | bool | str | None
"""Value of a limit; None: no limit, or for a text: none."""

TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

# What tenants' records held before tiers came, from the settings.
_OLD_LIMITS = ("retention_days", "sketches", "fine_windows")


class Kind(StrEnum):
    """What a record is about: the first part of its key."""

    TIER = "tier"
    TENANT = "tenant"
    KEY = "key"
    SECRET = "secret"  # noqa: S105 - a kind of record
    SCORE_RULES = "score-rules"
    SKIP = "skip"


class TierRecord(msgspec.Struct, frozen=True):
    """What tenants of a tier may use, by the limits' names; one that is left out does not apply."""

    name: str
    limits: dict[str, LimitValue]


class TenantRecord(msgspec.Struct, frozen=True):
    """A tenant as it is published.

    defaults: what the deployment's settings give the first tenant. overrides: what an
    administrator has given this one; both go before the tier. removed_ms: when it was removed;
    its name is not given to another, whose queries would find the old one's rows.
    """

    name: str
    tier: str
    overrides: dict[str, LimitValue] = {}
    defaults: dict[str, LimitValue] = {}
    created_ms: int = 0
    removed_ms: int | None = None


KEY_PREFIX = "oai_"
"""What the text of each key begins with."""


class Key(msgspec.Struct, frozen=True):
    """An API key as it is published: never its text, only a digest.

    scopes: of write, read, admin. expires_ms, revoked_ms: from then on it opens nothing.
    """

    id: str
    tenant: str
    digest: str
    scopes: tuple[str, ...]
    note: str = ""
    created_ms: int = 0
    expires_ms: int | None = None
    revoked_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether it opens anything at this time."""
        ends_ms = min(end for end in (self.expires_ms, self.revoked_ms, now_ms + 1) if end)
        return now_ms < ends_ms


class SecretRecord(msgspec.Struct, frozen=True):
    """Fingerprint of the secret under which keys are digested; all processes must have the same."""

    fingerprint: str


class ScoreRulesRecord(msgspec.Struct, frozen=True):
    """What of a tenant's series is judged, and which deviations count, in the order of matching.

    rules: as pipeline.scoring.rules reads them.
    """

    tenant: str
    rules: list[dict[str, Any]] = []


class SkipRecord(msgspec.Struct, frozen=True):
    """An operator's word that what cannot be read before an offset may go to dead letters.

    topic: without the deployment's prefix.
    """

    topic: str
    partition: int
    until_offset: int


Entry = TierRecord | TenantRecord | Key | SecretRecord | ScoreRulesRecord | SkipRecord


def encode_entry(entry: Entry) -> ConfigRecord:
    """Return the record of an entry."""
    match entry:
        case TierRecord():
            kind, name = Kind.TIER, entry.name
        case TenantRecord():
            kind, name = Kind.TENANT, entry.name
        case Key():
            kind, name = Kind.KEY, entry.id
        case SecretRecord():
            kind, name = Kind.SECRET, "keys"
        case ScoreRulesRecord():
            kind, name = Kind.SCORE_RULES, entry.tenant
        case SkipRecord():
            kind, name = Kind.SKIP, f"{entry.topic}/{entry.partition}"
    return f"{kind}/{name}".encode(), msgspec.json.encode(entry)


def decode_key(key: bytes) -> tuple[str, str]:
    """Return kind and name that a record's key tells. Raises InvalidRecord."""
    try:
        kind, _, name = key.decode().partition("/")
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"config record {key!r}: {error}") from None
    return kind, name


def decode_entry(kind: Kind, value: bytes) -> Entry:
    """Return the entry of a record's value. Raises InvalidRecord."""
    types: dict[Kind, type[TierRecord | Key | SecretRecord | ScoreRulesRecord | SkipRecord]] = {
        Kind.TIER: TierRecord,
        Kind.KEY: Key,
        Kind.SECRET: SecretRecord,
        Kind.SCORE_RULES: ScoreRulesRecord,
        Kind.SKIP: SkipRecord,
    }
    try:
        if kind is Kind.TENANT:
            return _decode_tenant(value)
        return msgspec.json.decode(value, type=types[kind])
    except msgspec.DecodeError as error:
        raise InvalidRecord(f"config record of kind {kind.value!r}: {error}") from None


def _decode_tenant(value: bytes) -> TenantRecord:
    fields: dict[str, Any] = msgspec.json.decode(value, type=dict[str, Any])
    old = {name: fields.pop(name) for name in _OLD_LIMITS if name in fields}
    if old:
        fields["defaults"] = old
    return msgspec.convert(fields, TenantRecord)

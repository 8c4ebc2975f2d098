"""API keys, and who may do what, as the compacted topic `config` tells it."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from schemas.config import (
    KEY_PREFIX,
    Entry,
    Key,
    Kind,
    ScoreRulesRecord,
    SecretRecord,
    SkipRecord,
    TenantRecord,
    TierRecord,
    decode_entry,
    decode_key,
    encode_entry,
)
from schemas.errors import InvalidRecord
from topology.anomaly_rules import TenantRules
from topology.secrets import fingerprint_of
from topology.skips import Skips
from topology.tenants import (
    LIMIT_NAMES,
    Tenant,
    WrongLimits,
    built_in_tiers,
    check_limits,
    tenant_of,
)

SCOPES = ("write", "read", "admin")
_LEAST = {"retention_days": 1}


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do: the tenant behind its key, and the key with its scopes."""

    tenant: Tenant
    key: Key

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes of the key."""
        return self.key.scopes


def digest_of(key_text: str, secret: bytes) -> str:
    """Digest under which a key is published and looked up.

    A fast hash is right here: a key is 32 random bytes, so there is nothing to guess, which is
    what slow password hashes defend against, and each request is hashed once. With the secret in
    it, whoever can write to the topic makes no key of his own, and whoever reads it cannot
    even tell whether a key that he found is one of this deployment.
    """
    digest = hashlib.blake2b(key_text.encode(), key=secret, digest_size=32, person=b"observai-key")
    return digest.hexdigest()


def unkeyed_digest_of(key_text: str) -> str:
    """Digest as the releases before tiers published it."""
    return digest_of(key_text, b"")


def generate_key(
    tenant: str, scopes: Iterable[str] = SCOPES, *, secret: bytes, key_id: str | None = None
) -> tuple[Key, str]:
    """Return a new key and its text, which is shown once and stored nowhere."""
    text = KEY_PREFIX + secrets.token_urlsafe(32)
    known_as = key_id or secrets.token_hex(6)
    return Key(known_as, tenant, digest_of(text, secret), tuple(scopes)), text


class KeyRing:
    """Tiers, tenants and keys as of the config records applied so far.

    secret: under which keys are digested. caps: the most that the settings allow a tenant.
    """

    def __init__(self, secret: bytes, caps: Mapping[str, int] | None = None) -> None:
        # False until all that stood in the topic at the start is applied.
        self.is_loaded = False
        # Why no key can be looked up, where that is so.
        self.problem: str | None = None
        self.has_fingerprint = False
        self.secret = secret
        # Told of each use of a key with its time, and of each refused login with its address.
        self.on_use: Callable[[Key, int], None] = lambda _key, _now_ms: None
        self.on_refusal: Callable[[str, str], None] = lambda _address, _reason: None
        self._caps = dict(caps or {})
        self._built_in = built_in_tiers()
        self._tiers: dict[str, TierRecord] = {}
        self._records: dict[str, TenantRecord] = {}
        # Worked out when asked for: a tenant may stand in the topic before its tier.
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}
        self.score_rules = TenantRules()
        self.skips = Skips()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of topic `config`; a record without value removes.

        Raises InvalidRecord for what is no such record, and is then as before.
        """
        kind, name = decode_key(key)
        if kind not in set(Kind):
            return
        entry = _checked(Kind(kind), key, value)
        match Kind(kind):
            case Kind.TIER:
                self._set_tier(name, entry)
            case Kind.TENANT:
                self._set_tenant(name, entry)
            case Kind.KEY:
                self._set_key(name, entry)
            case Kind.SECRET:
                self._compare_secret(entry)
            case Kind.SCORE_RULES:
                self.score_rules.apply(name, entry)
            case Kind.SKIP:
                self.skips.apply(name, entry)

    def find(self, key_text: str) -> Key | None:
        """Return the key of this text, dead or live; None for an unknown one."""
        digest = digest_of(key_text, self.secret)
        key = self._by_digest.get(digest)
        # The table compares digests that nobody can choose; the last word is in constant time.
        return key if key and hmac.compare_digest(key.digest, digest) else None

    def lookup(self, key_text: str, now_ms: int) -> Access | None:
        """Return what the key may do, None for one that opens nothing at this time."""
        key = self.find(key_text)
        tenant = self.tenant(key.tenant) if key and key.is_live(now_ms) else None
        return Access(tenant, key) if key and tenant else None

    def tenants(self) -> list[str]:
        """Return the names of all tenants that are not removed, sorted."""
        return sorted(name for name, one in self._records.items() if one.removed_ms is None)

    def tenant(self, name: str) -> Tenant | None:
        """Return a tenant by name, None for one that is removed."""
        if name not in self._tenants:
            record = self._records.get(name)
            if record is None or record.removed_ms is not None:
                return None
            tiers = self._built_in | self._tiers
            self._tenants[name] = tenant_of(record, tiers, self._caps)
        return self._tenants[name]

    def record(self, name: str) -> TenantRecord | None:
        """Return what was published of a tenant, a removed one too."""
        return self._records.get(name)

    def tiers(self) -> dict[str, TierRecord]:
        """Return the tiers by name: the published ones, or those of this build before that."""
        return dict(self._tiers or self._built_in)

    def published_tier(self, name: str) -> TierRecord | None:
        """Return a tier as it stands in the topic."""
        return self._tiers.get(name)

    def keys(self, tenant: str | None = None) -> list[Key]:
        """Return the keys of a tenant, or of all, the oldest first; dead ones too."""
        found = [key for key in self._keys.values() if tenant in {None, key.tenant}]
        return sorted(found, key=lambda key: (key.created_ms, key.id))

    def key(self, key_id: str) -> Key | None:
        """Return a key by its id."""
        return self._keys.get(key_id)

    def _set_tier(self, name: str, entry: Entry | None) -> None:
        self._tiers.pop(name, None)
        if isinstance(entry, TierRecord):
            self._tiers[name] = entry
        self._tenants.clear()

    def _set_tenant(self, name: str, entry: Entry | None) -> None:
        self._records.pop(name, None)
        self._tenants.pop(name, None)
        if isinstance(entry, TenantRecord):
            self._records[name] = entry

    def _set_key(self, key_id: str, entry: Entry | None) -> None:
        if (old := self._keys.pop(key_id, None)) is not None:
            self._by_digest.pop(old.digest, None)
        if isinstance(entry, Key):
            self._keys[key_id] = entry
            self._by_digest[entry.digest] = entry

    def _compare_secret(self, entry: Entry | None) -> None:
        self.has_fingerprint = entry is not None
        differs = isinstance(entry, SecretRecord) and not hmac.compare_digest(
            entry.fingerprint, fingerprint_of(self.secret)
        )
        self.problem = (
            "keys cannot be checked: this process has another key secret than the store. Set "
            "OBSERVAI_KEY_SECRET to the same in all processes (without the setting it is in "
            "DATA_DIR/key.secret of the store)"
            if differs
            else None
        )


def _checked(kind: Kind, key: bytes, value: bytes | None) -> Entry | None:
    if value is None:
        return None
    entry = decode_entry(kind, value)
    _check(key, entry)
    return entry


def _check(key: bytes, entry: Entry) -> None:
    if encode_entry(entry)[0] != key:
        raise InvalidRecord(f"config record {key!r} is about {encode_entry(entry)[0]!r}")
    match entry:
        case TenantRecord():
            limits = _LEAST | entry.defaults | entry.overrides
        case TierRecord():
            limits = entry.limits
        case Key() | SecretRecord() | ScoreRulesRecord() | SkipRecord():
            return
    known = {name: value for name, value in limits.items() if name in LIMIT_NAMES}
    try:
        check_limits("tenant", "tier", known)
    except WrongLimits as error:
        raise InvalidRecord(f"config record {key!r}: {error}") from None


def key_of_request(headers: Headers) -> str | None:
    """Return the key of an Authorization header: Bearer, Token, or Basic (as the password)."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" | "token":
            return rest or None
        case "basic":
            try:
                decoded = base64.b64decode(rest, validate=True).decode()
            except ValueError:
                return None
            return decoded.partition(":")[2] or None
        case _:
            return None

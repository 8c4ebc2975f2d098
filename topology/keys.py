"""Tenants and API keys, as the compacted topic `config` tells them."""

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.datastructures import Headers

from schemas.errors import InvalidRecord
from schemas.samples import FINE_WINDOWS, SKETCHES
from topology.settings import Settings

DEFAULT_TENANT = "default"
SCOPES = ("write", "read", "admin")
KEY_PREFIX = "oai_"


class Tenant(msgspec.Struct, frozen=True):
    """An organisation whose data nobody else sees."""

    name: str
    tier: str
    retention_days: int
    sketches: bool = True
    fine_windows: bool = False

    @property
    def sample_flags(self) -> int:
        """What the window stage is told with each block of its samples."""
        return SKETCHES * self.sketches | FINE_WINDOWS * self.fine_windows


class Key(msgspec.Struct, frozen=True):
    """An API key as it is stored: never its text, only the digest of it."""

    id: str
    tenant: str
    digest: str
    scopes: tuple[str, ...] = SCOPES


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do: the tenant behind its key, and the key's scopes."""

    tenant: Tenant
    scopes: tuple[str, ...]


def digest_of(key_text: str) -> str:
    """Digest under which a key is stored and looked up.

    A fast hash is right here: a key is 32 random bytes, so there is nothing to guess, which
    is what slow password hashes defend against. Looking up by digest leaks no timing of the key.
    """
    return hashlib.blake2b(key_text.encode(), digest_size=32, person=b"observai-key").hexdigest()


def generate_key(tenant: str, scopes: tuple[str, ...] = SCOPES) -> tuple[Key, str]:
    """Return a new key and its text, which is shown once and stored nowhere."""
    text = KEY_PREFIX + secrets.token_urlsafe(32)
    return Key(secrets.token_hex(6), tenant, digest_of(text), scopes), text


class KeyRing:
    """Tenants and keys as of the config records applied so far."""

    def __init__(self) -> None:
        # False until all that stood in the topic at the start is applied.
        self.is_loaded = False
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of topic `config`; a record without value removes.

        Raises InvalidRecord for what is no such record, and is then as before.
        """
        try:
            kind, _, name = key.decode().partition("/")
            self._apply(kind, name, value)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            raise InvalidRecord(f"config record {key!r}: {error}") from None

    def _apply(self, kind: str, name: str, value: bytes | None) -> None:
        if kind == "tenant":
            tenant = None if value is None else msgspec.json.decode(value, type=Tenant)
            self._tenants.pop(name, None)
            if tenant is not None:
                self._tenants[name] = tenant
        elif kind == "key":
            new = None if value is None else msgspec.json.decode(value, type=Key)
            if (old := self._keys.pop(name, None)) is not None:
                self._by_digest.pop(old.digest, None)
            if new is not None:
                self._keys[name] = new
                self._by_digest[new.digest] = new

    def lookup(self, key_text: str) -> Access | None:
        """Return what the key may do, or None for an unknown key."""
        key = self._by_digest.get(digest_of(key_text))
        tenant = self._tenants.get(key.tenant) if key else None
        return Access(tenant, key.scopes) if key and tenant else None

    def tenants(self) -> list[str]:
        """Return the names of all tenants, in an order of their own."""
        return sorted(self._tenants)

    def tenant(self, name: str) -> Tenant | None:
        """Return a tenant by name."""
        return self._tenants.get(name)


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


def tenant_record(tenant: Tenant) -> tuple[bytes, bytes]:
    """Return key and value of the tenant's record on topic `config`."""
    return f"tenant/{tenant.name}".encode(), msgspec.json.encode(tenant)


def key_record(key: Key) -> tuple[bytes, bytes]:
    """Return key and value of an API key's record on topic `config`."""
    return f"key/{key.id}".encode(), msgspec.json.encode(key)


def default_tenant(settings: Settings) -> Tenant:
    """Return the tenant that a first start makes."""
    wanted = (settings.retention_days, settings.sketches, settings.fine_windows)
    return Tenant(DEFAULT_TENANT, "enterprise", *wanted)


def bootstrap_records(ring: KeyRing, key_file: Path, wanted: Tenant) -> list[tuple[bytes, bytes]]:
    """Return the config records that a first start still has to publish, none later.

    They are the wanted default tenant and a key of it with all scopes. The key's text goes to
    key_file (mode 0600) before its record is published, so a crash between leaves no key
    that nobody knows; a file that is there already is used.
    """
    records = []
    if ring.tenant(wanted.name) != wanted:
        records.append(tenant_record(wanted))
    if key_file.exists():
        text = key_file.read_text().strip()
        key = Key(secrets.token_hex(6), DEFAULT_TENANT, digest_of(text))
    else:
        key, text = generate_key(DEFAULT_TENANT)
        _write_secret(key_file, text)
    if ring.lookup(text) is None:
        records.append(key_record(key))
    return records


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)

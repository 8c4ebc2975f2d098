"""What the store role publishes on topic `config` at its start, where it is missing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from schemas.config import (
    ConfigRecord,
    Key,
    Kind,
    SecretRecord,
    TenantRecord,
    TierRecord,
    encode_entry,
)
from topology.keys import SCOPES, KeyRing, digest_of, generate_key, unkeyed_digest_of
from topology.secrets import fingerprint_of, write_secret
from topology.tenants import DEFAULT_TENANT


def bootstrap_records(
    ring: KeyRing,
    key_file: Path,
    wanted: TenantRecord,
    tiers: Mapping[str, TierRecord],
    now_ms: int,
) -> list[ConfigRecord]:
    """Return the config records that this start still has to publish, none where all is there.

    They are the secret's fingerprint, the tiers of the deployment's file, the default tenant with
    what its settings give it, and a key of it with all scopes. The key's text goes to key_file
    (mode 0600) before its record is published, so a crash between leaves no key that nobody
    knows; a file that is there already is used, unless its key was revoked or has expired:
    then it gets a new one, so that whoever has the machine can always get in.
    """
    records = [*_tiers(ring, tiers), *_default_tenant(ring, wanted, now_ms)]
    if not ring.has_fingerprint:
        records.insert(0, encode_entry(SecretRecord(fingerprint_of(ring.secret))))
    return records + _default_key(ring, key_file, now_ms)


def _tiers(ring: KeyRing, tiers: Mapping[str, TierRecord]) -> Iterator[ConfigRecord]:
    for name, tier in tiers.items():
        if ring.published_tier(name) != tier:
            yield encode_entry(tier)
    used = {record.tier for record in map(ring.record, ring.tenants()) if record is not None}
    for name in ring.tiers():
        # One that has left the file stays for as long as a tenant is of it.
        if name not in tiers and name not in used:
            yield f"{Kind.TIER.value}/{name}".encode(), None


def _default_tenant(ring: KeyRing, wanted: TenantRecord, now_ms: int) -> Iterator[ConfigRecord]:
    known = ring.record(wanted.name)
    if known is None:
        yield encode_entry(msgspec.structs.replace(wanted, created_ms=now_ms))
    elif known.defaults != wanted.defaults:
        yield encode_entry(msgspec.structs.replace(known, defaults=wanted.defaults))


def _default_key(ring: KeyRing, key_file: Path, now_ms: int) -> list[ConfigRecord]:
    if not key_file.exists():
        return [encode_entry(_new_key(ring, key_file, now_ms))]
    text = key_file.read_text().strip()
    known = ring.find(text)
    if known is None:
        return [encode_entry(_known_text(ring, text, now_ms))]
    if not known.is_live(now_ms):
        return [encode_entry(_new_key(ring, key_file, now_ms))]
    return []


def _new_key(ring: KeyRing, key_file: Path, now_ms: int) -> Key:
    key, text = generate_key(DEFAULT_TENANT, secret=ring.secret)
    write_secret(key_file, text)
    return msgspec.structs.replace(key, note=key_file.name, created_ms=now_ms)


def _known_text(ring: KeyRing, text: str, now_ms: int) -> Key:
    """Return the key of a text that the file holds and the topic does not know."""
    before = unkeyed_digest_of(text)
    key, _ = generate_key(DEFAULT_TENANT, secret=ring.secret)
    key_id = next((one.id for one in ring.keys(DEFAULT_TENANT) if one.digest == before), key.id)
    digest = digest_of(text, ring.secret)
    return Key(key_id, DEFAULT_TENANT, digest, SCOPES, "default.key", now_ms)

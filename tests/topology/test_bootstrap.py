"""What a store's start publishes, and what it leaves alone."""

from pathlib import Path

import msgspec

from schemas.config import Key, TenantRecord, encode_entry
from tests.topology.rings import new_ring
from topology.bootstrap import bootstrap_records
from topology.keys import KeyRing, unkeyed_digest_of
from topology.secrets import write_secret
from topology.settings import Settings
from topology.tenants import built_in_tiers, default_tenant

NOW_MS = 1_800_000_000_000
WANTED = TenantRecord("default", "enterprise", defaults={"sketches": True})
TIERS = built_in_tiers()


def start(ring: KeyRing, file: Path, wanted: TenantRecord = WANTED) -> list[str]:
    """Begin a store; return the keys of what it publishes, which the ring follows."""
    records = bootstrap_records(ring, file, wanted, TIERS, NOW_MS)
    for record in records:
        ring.apply(*record)
    return [key.decode().partition("/")[0] for key, _ in records]


def test_a_first_start_publishes_all_and_a_second_nothing(tmp_path: Path) -> None:
    file, ring = tmp_path / "data" / "default.key", new_ring()

    first = start(ring, file)

    assert first == ["secret", *["tier"] * len(TIERS), "tenant", "key"]
    assert file.stat().st_mode & 0o777 == 0o600
    access = ring.lookup(file.read_text().strip(), NOW_MS)
    assert access is not None
    assert access.scopes == ("write", "read", "admin")
    assert start(ring, file) == []


def test_the_key_file_of_before_is_used_with_a_new_broker(tmp_path: Path) -> None:
    file = tmp_path / "default.key"
    start(new_ring(), file)
    text, ring = file.read_text(), new_ring()

    start(ring, file)

    assert file.read_text() == text
    assert ring.lookup(text.strip(), NOW_MS) is not None


def test_a_key_of_a_release_before_keeps_its_id_and_is_digested_anew(tmp_path: Path) -> None:
    file, ring = tmp_path / "default.key", new_ring()
    write_secret(file, "oai_old")
    ring.apply(*encode_entry(Key("k1", "default", unkeyed_digest_of("oai_old"), ("read",))))

    start(ring, file)

    access = ring.lookup("oai_old", NOW_MS)
    assert access is not None
    assert access.key.id == "k1"
    assert len(ring.keys()) == 1


def test_a_revoked_default_key_is_not_published_again_but_replaced(tmp_path: Path) -> None:
    """It may have leaked."""
    file, ring = tmp_path / "default.key", new_ring()
    start(ring, file)
    leaked = file.read_text().strip()
    key = ring.find(leaked)
    assert key is not None
    ring.apply(*encode_entry(msgspec.structs.replace(key, revoked_ms=NOW_MS - 1)))

    assert start(ring, file) == ["key"]

    assert ring.lookup(leaked, NOW_MS) is None
    assert ring.lookup(file.read_text().strip(), NOW_MS) is not None


def test_changed_settings_change_the_default_tenant_and_leave_what_an_administrator_set(
    tmp_path: Path,
) -> None:
    file, ring = tmp_path / "default.key", new_ring()
    start(ring, file)
    ring.apply(*encode_entry(TenantRecord("default", "pro", {"max_labels": 9}, WANTED.defaults)))

    wanted = default_tenant(Settings(sketches=False, fine_windows=True))
    assert start(ring, file, wanted) == ["tenant"]

    tenant = ring.tenant("default")
    assert tenant is not None
    assert (tenant.tier, tenant.max_labels) == ("pro", 9)
    assert (tenant.sketches, tenant.fine_windows) == (False, True)


def test_a_tier_that_has_left_the_file_stays_while_a_tenant_is_of_it(tmp_path: Path) -> None:
    file, ring = tmp_path / "default.key", new_ring()
    start(ring, file)
    ring.apply(*encode_entry(TenantRecord("acme", "pro")))
    fewer = {name: tier for name, tier in TIERS.items() if name in {"free", "enterprise"}}

    records = bootstrap_records(ring, file, WANTED, fewer, NOW_MS)

    assert records == [(b"tier/team", None)]

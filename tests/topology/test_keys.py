"""Keys, and who may do what, from the records of topic `config`."""

import base64

import msgspec
import pytest
from starlette.datastructures import Headers

from schemas.config import Key, SecretRecord, TenantRecord, TierRecord, encode_entry
from schemas.errors import InvalidRecord
from schemas.samples import FINE_WINDOWS, SKETCHES
from tests.topology.rings import SECRET, add_key, add_tenant, new_ring
from topology.keys import KeyRing, digest_of, generate_key, key_of_request
from topology.secrets import fingerprint_of
from topology.tenants import Tenant

NOW_MS = 1_800_000_000_000
ACME = Tenant("acme", "pro", 30)


def test_a_key_tells_its_tenant_and_scopes_until_it_is_removed() -> None:
    ring = new_ring(ACME)
    text = add_key(ring, "acme", "write")

    access = ring.lookup(text, NOW_MS)

    assert access is not None
    assert (access.tenant.name, access.scopes) == ("acme", ("write",))
    assert ring.lookup(text + "x", NOW_MS) is None
    ring.apply(f"key/{access.key.id}".encode(), None)
    assert ring.lookup(text, NOW_MS) is None


@pytest.mark.parametrize(
    ("ends", "opens"),
    [
        ({}, True),
        ({"expires_ms": NOW_MS + 1}, True),
        ({"expires_ms": NOW_MS}, False),
        ({"revoked_ms": NOW_MS}, False),
        ({"expires_ms": NOW_MS + 1, "revoked_ms": NOW_MS - 1}, False),
    ],
)
def test_a_key_opens_until_it_expires_or_is_revoked(ends: dict[str, int], opens: bool) -> None:
    ring = new_ring(ACME)
    key, text = generate_key("acme", ("read",), secret=SECRET)
    ring.apply(*encode_entry(msgspec.structs.replace(key, **ends)))

    assert (ring.lookup(text, NOW_MS) is not None) == opens
    assert ring.find(text) is not None


def test_a_key_is_never_published_as_text() -> None:
    key, text = generate_key("acme", secret=SECRET)

    assert text.startswith("oai_")
    assert len(base64.urlsafe_b64decode(text.removeprefix("oai_") + "=")) == 32
    assert text.removeprefix("oai_") not in repr(encode_entry(key))


def test_a_digest_is_worth_nothing_without_the_secret() -> None:
    """Whoever writes a key of his own into the topic opens nothing with it."""
    ring = new_ring(ACME)
    key, text = generate_key("acme", secret=b"another")
    ring.apply(*encode_entry(key))

    assert digest_of(text, b"another") != digest_of(text, SECRET)
    assert ring.lookup(text, NOW_MS) is None


def test_a_process_with_another_secret_says_so() -> None:
    ring = new_ring()
    ring.apply(*encode_entry(SecretRecord(fingerprint_of(b"of the store"))))
    problem = ring.problem
    ring.apply(*encode_entry(SecretRecord(fingerprint_of(SECRET))))

    assert problem is not None
    assert "OBSERVAI_KEY_SECRET" in problem
    assert ring.problem is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"tenant/x", b"junk"),
        (b"key/x", b"{}"),
        (b"tenant/acme", b"[1]"),
        (b"\xff", b"x"),
        (b"tenant/acme", b'{"name":"other","tier":"pro"}'),
        (b"tenant/acme", b'{"name":"acme","tier":"pro","overrides":{"max_labels":0}}'),
        (b"tier/pro", b'{"name":"pro","limits":{"retention_days":"x"}}'),
    ],
)
def test_a_record_that_cannot_be_read_changes_nothing(key: bytes, value: bytes) -> None:
    ring = new_ring(ACME)
    text = add_key(ring, "acme", "read")

    with pytest.raises(InvalidRecord):
        ring.apply(key, value)

    access = ring.lookup(text, NOW_MS)
    assert access is not None
    assert access.tenant == ACME


def test_kinds_of_a_newer_build_are_passed_over() -> None:
    ring = new_ring(ACME)

    ring.apply(b"rule/x", b"{}")
    ring.apply(*encode_entry(TenantRecord("acme", "pro", {"retention_days": 5, "warp": 9})))

    tenant = ring.tenant("acme")
    assert tenant is not None
    assert tenant.retention_days == 5


def test_a_tenant_follows_its_tier_wherever_that_stands_in_the_topic() -> None:
    """Compaction may leave a tenant before its tier."""
    ring = new_ring()
    ring.apply(*encode_entry(TenantRecord("acme", "gold", {"max_labels": 7})))
    before = ring.tenant("acme")

    ring.apply(*encode_entry(TierRecord("gold", {"retention_days": 77, "max_labels": 5})))

    after = ring.tenant("acme")
    assert before is not None
    assert after is not None
    assert (before.retention_days, before.max_labels) == (7, 7)  # as of tier free
    assert (after.retention_days, after.max_labels) == (77, 7)


def test_a_removed_tenant_is_gone_with_its_keys_and_its_record_stays() -> None:
    ring = new_ring(ACME)
    text = add_key(ring, "acme", "read")

    ring.apply(*encode_entry(TenantRecord("acme", "pro", removed_ms=NOW_MS)))

    assert ring.lookup(text, NOW_MS) is None
    assert ring.tenants() == []
    assert ring.record("acme") is not None


def test_no_tenant_gets_more_than_the_settings_allow() -> None:
    ring = KeyRing(SECRET, {"max_labels": 10, "retention_days": 14})
    ring.apply(*encode_entry(TenantRecord("big", "enterprise", {"retention_days": 400})))
    ring.apply(*encode_entry(TenantRecord("small", "free")))

    big, small = ring.tenant("big"), ring.tenant("small")

    assert big is not None
    assert small is not None
    assert (big.max_labels, big.retention_days) == (10, 14)
    assert (small.max_labels, small.retention_days) == (10, 7)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Token abc", "abc"),
        ("Basic " + base64.b64encode(b"user:abc").decode(), "abc"),
        ("Basic " + base64.b64encode(b"user").decode(), None),
        ("Basic ?", None),
        ("Bearer", None),
        ("Digest abc", None),
        ("", None),
    ],
)
def test_a_key_comes_as_bearer_token_or_password(header: str, key: str | None) -> None:
    assert key_of_request(Headers({"authorization": header})) == key


def test_a_tenants_record_says_what_its_samples_are_marked_with() -> None:
    """A record of a release before, without the fields, means sketches and no 10 s windows."""
    ring = new_ring()
    ring.apply(b"tenant/old", b'{"name":"old","tier":"pro","retention_days":30}')
    add_tenant(ring, Tenant("fine", "pro", 30, sketches=False, fine_windows=True))

    old, fine = ring.tenant("old"), ring.tenant("fine")

    assert old is not None
    assert fine is not None
    assert (old.sample_flags, fine.sample_flags) == (SKETCHES, FINE_WINDOWS)


def test_the_keys_of_a_tenant_come_the_oldest_first() -> None:
    ring = new_ring(ACME)
    for at_ms, name in [(2, "b"), (1, "c"), (3, "a")]:
        ring.apply(*encode_entry(Key(name, "acme", name, ("read",), created_ms=at_ms)))
    add_key(new_ring(), "other", "read")

    assert [key.id for key in ring.keys("acme")] == ["c", "b", "a"]
    assert ring.keys("other") == []

"""Tenants and keys from the records of topic `config`."""

import base64
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from schemas.errors import InvalidRecord
from schemas.samples import FINE_WINDOWS, SKETCHES
from topology.keys import (
    KeyRing,
    Tenant,
    bootstrap_records,
    generate_key,
    key_of_request,
    key_record,
    tenant_record,
)

DEFAULT = Tenant("default", "enterprise", 30)


def ring_with_key() -> tuple[KeyRing, str, bytes]:
    ring = KeyRing()
    ring.apply(*tenant_record(Tenant("acme", "pro", 30)))
    key, text = generate_key("acme", ("write",))
    ring.apply(*key_record(key))
    return ring, text, key_record(key)[0]


def test_a_key_tells_its_tenant_and_scopes_until_it_is_removed() -> None:
    ring, text, record_key = ring_with_key()

    access = ring.lookup(text)
    assert access is not None
    assert (access.tenant.name, access.scopes) == ("acme", ("write",))
    assert ring.lookup(text + "x") is None

    ring.apply(record_key, None)
    assert ring.lookup(text) is None


def test_a_key_is_never_published_as_text() -> None:
    key, text = generate_key("acme")

    assert text not in repr(key_record(key))
    assert text.removeprefix("oai_") not in repr(key_record(key))


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"tenant/x", b"junk"), (b"key/x", b"{}"), (b"tenant/acme", b"[1]"), (b"\xff", b"x")],
)
def test_a_record_that_cannot_be_read_changes_nothing(key: bytes, value: bytes) -> None:
    ring, text, _ = ring_with_key()

    with pytest.raises(InvalidRecord):
        ring.apply(key, value)

    assert ring.lookup(text) is not None


def test_a_first_start_publishes_a_tenant_and_a_key_and_a_second_nothing(tmp_path: Path) -> None:
    file, ring = tmp_path / "data" / "default.key", KeyRing()
    for record in bootstrap_records(ring, file, DEFAULT):
        ring.apply(*record)

    assert file.stat().st_mode & 0o777 == 0o600
    access = ring.lookup(file.read_text().strip())
    assert access is not None
    assert access.scopes == ("write", "read", "admin")
    assert bootstrap_records(ring, file, DEFAULT) == []


def test_the_key_file_of_before_is_used_with_a_new_broker(tmp_path: Path) -> None:
    file = tmp_path / "default.key"
    bootstrap_records(KeyRing(), file, DEFAULT)
    text, ring = file.read_text().strip(), KeyRing()

    for record in bootstrap_records(ring, file, DEFAULT):
        ring.apply(*record)

    assert file.read_text().strip() == text
    assert ring.lookup(text) is not None


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
    """A record of the release before, without the fields, means sketches and no 10 s windows."""
    ring = KeyRing()
    ring.apply(b"tenant/old", b'{"name":"old","tier":"pro","retention_days":30}')
    ring.apply(*tenant_record(Tenant("fine", "pro", 30, sketches=False, fine_windows=True)))

    old, fine = ring.tenant("old"), ring.tenant("fine")

    assert old is not None
    assert fine is not None
    assert (old.sample_flags, fine.sample_flags) == (SKETCHES, FINE_WINDOWS)

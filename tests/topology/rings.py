"""Key rings for tests, filled as the topic would fill them."""

from schemas.config import encode_entry
from topology.keys import KeyRing, generate_key
from topology.tenants import Tenant, tenant_entry

SECRET = bytes(range(64))


def new_ring(*tenants: Tenant) -> KeyRing:
    """Return a ring that has been read, with these tenants."""
    ring = KeyRing(SECRET)
    for tenant in tenants:
        add_tenant(ring, tenant)
    ring.is_loaded = True
    return ring


def add_tenant(ring: KeyRing, tenant: Tenant) -> None:
    """Let the ring know a tenant with exactly these limits."""
    ring.apply(*encode_entry(tenant_entry(tenant)))


def add_key(ring: KeyRing, tenant: str, *scopes: str) -> str:
    """Give a tenant a key and return its text."""
    key, text = generate_key(tenant, scopes, secret=ring.secret)
    ring.apply(*encode_entry(key))
    return text

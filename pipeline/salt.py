"""Keys of tables that tenants share: nobody can choose one that meets another tenant's.

Ids of series, and hashes of how a sender writes them, are no secret: two texts of one hash can be
made up, for one's own tenant or so that they meet another's. In a table that all tenants share the
first would be taken for the second; and many that fall into one slot would make each look-up a
walk. So a key goes into a table only with a number that is the process's secret for the tenant.
"""

import hashlib
import secrets
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import avalanche

_SECRET = secrets.token_bytes(16)
_MAX_TENANTS = 100_000


@lru_cache(maxsize=_MAX_TENANTS)
def salt_of(tenant_seed: int) -> np.uint64:
    """Return this process's number for a tenant; tenant_seed as of hashing.tenant_hash."""
    text = int(tenant_seed).to_bytes(8, "little")
    digest = hashlib.blake2b(text, digest_size=8, key=_SECRET).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def salted(keys: NDArray[np.uint64], tenant_seed: np.uint64) -> NDArray[np.uint64]:
    """Return keys for a shared table, shape (n,): different for different ones, 0 for 0."""
    found = np.empty(len(keys), dtype=np.uint64)
    _salt(keys, salt_of(int(tenant_seed)), found)
    return found


@njit(cache=True, nogil=True)
def _salt(keys: NDArray[np.uint64], salt: np.uint64, found: NDArray[np.uint64]) -> None:
    for i in range(len(keys)):
        # A table cannot hold 0.
        mixed = avalanche(keys[i] ^ salt)
        found[i] = np.uint64(0) if keys[i] == np.uint64(0) else max(mixed, np.uint64(1))

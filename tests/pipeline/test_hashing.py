"""XXH64 and the id of a series."""

import numpy as np
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hashing import series_id_of, tenant_hash, xxh64
from tests.strategies import labels

_MASK = 2**64 - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


@given(st.binary(max_size=100), st.integers(0, 9))
def test_xxh64_agrees_with_the_reference_implementation(text: bytes, shift: int) -> None:
    padded = np.frombuffer(b"#" * shift + text, dtype=np.uint8)

    assert xxh64(padded, shift, len(padded)) == xxhash.xxh64_intdigest(text)


def avalanche(h: int) -> int:
    h ^= h >> 33
    h = h * _P2 & _MASK
    h ^= h >> 29
    h = h * _P3 & _MASK
    return h ^ h >> 32


def plain_series_id(tenant: str, of: dict[str, str]) -> int:
    """Work the id out in plain Python: the definition that stored data relies on."""
    total = xxhash.xxh64_intdigest(tenant.encode())
    for name, value in of.items():
        h = xxhash.xxh64_intdigest(name.encode())
        rotated = (h << 27 | h >> 37) & _MASK
        total += avalanche((rotated * _P1 + xxhash.xxh64_intdigest(value.encode())) & _MASK)
    return avalanche(total & _MASK) or 1


@given(st.text(max_size=10), labels)
def test_a_series_id_is_that_of_its_definition(tenant: str, of: dict[str, str]) -> None:
    assert series_id_of(tenant_hash(tenant), of) == plain_series_id(tenant, of)


def test_the_id_of_a_known_series_never_changes() -> None:
    """Stored data carries ids, so another id for the same series splits its history."""
    assert series_id_of(tenant_hash("default"), {"__name__": "up", "job": "api"}) == (
        plain_series_id("default", {"job": "api", "__name__": "up"})
    )
    assert series_id_of(tenant_hash("default"), {"__name__": "a", "b": "c"}) == (
        15470866741373871931
    )


def test_tenants_do_not_share_ids() -> None:
    of = {"__name__": "up"}

    assert series_id_of(tenant_hash("a"), of) != series_id_of(tenant_hash("b"), of)


def test_name_and_value_are_not_exchangeable() -> None:
    seed = tenant_hash("t")

    assert series_id_of(seed, {"a": "b"}) != series_id_of(seed, {"b": "a"})
    assert series_id_of(seed, {"a": "b", "c": "d"}) != series_id_of(seed, {"a": "d", "c": "b"})

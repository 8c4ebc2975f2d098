"""Keys of shared tables: told apart by tenant, and no slot can be aimed at."""

import numpy as np

from pipeline.active_series import ActiveSeries
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.key_ids import KeyIds
from pipeline.known_series import KnownSeries
from pipeline.salt import salt_of, salted

EVIL, VICTIM = tenant_hash("evil"), tenant_hash("victim")


def test_a_tenants_keys_stay_apart_and_zero_stays_zero() -> None:
    keys = np.arange(10_000, dtype=np.uint64)

    found = salted(keys, EVIL)

    assert found[0] == 0
    assert len(np.unique(found)) == len(keys)
    assert (salted(keys, EVIL) == found).all()
    assert not np.isin(salted(keys[1:], VICTIM), found).any()
    assert salt_of(int(EVIL)) not in {0, int(EVIL)}


def test_one_id_of_two_tenants_is_two_keys() -> None:
    """Labels that were made up so that their id is that of another tenant's series."""
    mine = {"__name__": "z", "n": "159", "x": "utX)d;GC"}
    other = {"__name__": "up", "instance": "db1:9100", "job": "db"}
    series_id = series_id_of(EVIL, mine)
    assert series_id == series_id_of(VICTIM, other)
    ids, known = np.array([series_id], dtype=np.uint64), KnownSeries(10)

    known.add(salted(ids, EVIL), 0)

    assert known.unknown(salted(ids, VICTIM), 0).all()
    assert not known.unknown(salted(ids, EVIL), 0).any()


def test_the_ids_by_key_of_one_tenant_are_not_found_by_another() -> None:
    reader, keys = KeyIds(10), np.array([77], dtype=np.uint64)
    all_wanted = np.ones(1, dtype=np.bool_)

    mine = reader.resolve(keys, all_wanted, lambda _: 1, EVIL)
    others = reader.resolve(keys, all_wanted, lambda _: 2, VICTIM)
    again = reader.resolve(keys, all_wanted, lambda _: 3, EVIL)

    assert (mine[0], others[0], again[0]) == (1, 2, 1)


def test_a_series_counts_for_each_tenant_that_has_one_of_its_id() -> None:
    active, ids = ActiveSeries(10), np.array([5], dtype=np.uint64)

    for tenant in ("evil", "victim"):
        assert active.admit(tenant, ids, 100, most_active=1).all()

    assert (active.count("evil", 100), active.count("victim", 100)) == (1, 1)


def test_keys_made_for_one_slot_are_spread() -> None:
    """Without it, each of them would walk over all before it."""
    keys = np.arange(1, 2_001, dtype=np.uint64) << np.uint64(30)

    slots = salted(keys, EVIL) & np.uint64((1 << 12) - 1)

    assert len(np.unique(slots)) > 1_400

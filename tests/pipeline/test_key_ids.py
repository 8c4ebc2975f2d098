"""Ids by key, in bounded memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hashing import tenant_hash
from pipeline.key_ids import KeyIds

SEED = tenant_hash("t")

words = st.integers(1, 2**64 - 1)


@given(st.dictionaries(words, words, max_size=200), st.lists(words, max_size=20))
def test_what_was_added_is_found_and_nothing_else(ids: dict[int, int], others: list[int]) -> None:
    known = KeyIds(1000)
    asked = np.array([*ids, *others], dtype=np.uint64)

    of_ids = np.array(list(ids), dtype=np.uint64), np.array(list(ids.values()), dtype=np.uint64)
    known.add(*of_ids, SEED)

    assert known.find(asked, SEED).tolist() == [ids.get(key, 0) for key in asked.tolist()]
    assert not known.find(asked, tenant_hash("other")).any()
    assert len(known) == len(ids)


def test_a_key_added_again_has_the_newer_id() -> None:
    known = KeyIds(10)
    key = np.array([7], dtype=np.uint64)

    for number in (1, 2):
        known.add(key, np.array([number], dtype=np.uint64), SEED)

    assert known.find(key, SEED).tolist() == [2]
    assert len(known) == 1


def test_memory_is_bounded_and_what_is_asked_for_stays() -> None:
    """100,000 keys through a map of 1,000: one that is met again and again is never forgotten."""
    known, keys = KeyIds(1000), np.arange(1, 100_001, dtype=np.uint64)
    kept = keys[:1]

    for start in range(0, len(keys), 500):
        known.add(keys[start : start + 500], keys[start : start + 500], SEED)
        assert known.find(kept, SEED).tolist() == [1]

    assert len(known) <= 2000
    assert known.n_bytes() <= 2 * 16 * 2048
    assert known.find(keys[1:1000], SEED).tolist() == [0] * 999

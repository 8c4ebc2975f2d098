"""One tenant's metrics by the salted name of their series: type, unit, and when that was heard.

A hash table, at most half full, of which compiled code reads while it is added to.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.families import MAX_NAME_BYTES, SUFFIXES, WHOLE_BY_SUFFIX
from pipeline.hashing import avalanche, xxh64
from schemas.series import MetricType

# Senders repeat a family each minute; other edges are told of it again so often.
TELL_MIN = 5
# Of two types of one name that are both told, one holds; one that was not told for so long has
# ended. Longer than it takes to be told again.
FRESH_MIN = 12
_LONG_AGO = -(1 << 30)
_NAMES_OF_FAMILY = 1 + max(map(len, SUFFIXES.values()))
_SUFFIX_BYTES = max(len(one) for of_type in SUFFIXES.values() for one in of_type)

# heard_min: when it was last told of. told_min: when edges last told each other of the family.
METRIC = np.dtype(
    [
        ("name", "<u8"),  # salted XXH64, 0 for an empty slot
        ("unit_key", "<u8"),
        ("heard_min", "<i4"),
        ("told_min", "<i4"),  # of a family's own name
        ("type", "u1"),
        ("is_own", "u1"),  # the name of a family itself, without a suffix
    ],
    align=True,
)

# Suffixes of all types in one text; those of a type are first[type] to first[type + 1].
_SUFFIXES = [one for kind in MetricType for one in SUFFIXES.get(kind, ())]
_SUFFIX_TEXT = np.frombuffer("".join(_SUFFIXES).encode(), dtype=np.uint8)
_SUFFIX_ENDS = np.cumsum([0, *map(len, _SUFFIXES)], dtype=np.int64)
_FIRST_SUFFIX = np.cumsum([0, *(len(SUFFIXES.get(kind, ())) for kind in MetricType)])
_IS_WHOLE = np.array([kind in WHOLE_BY_SUFFIX for kind in MetricType])


@njit(inline="always")
def salted_name(text: NDArray[np.uint8], start: int, end: int, salt: np.uint64) -> np.uint64:
    """Return what a name is found by."""
    return max(avalanche(xxh64(text, start, end) ^ salt), np.uint64(1))


@njit(inline="always")
def metric_slot(slots: Any, name: np.uint64) -> np.int64:
    """Return the slot that holds the salted name, or the empty one where it belongs."""
    mask = np.uint64(len(slots) - 1)
    slot = name & mask
    while slots[slot].name != name and slots[slot].name != np.uint64(0):
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(inline="always")
def metadata_mix(unit_key: np.uint64, kind: int) -> np.uint64:
    """Return what the id of a series is mixed with, so that it is told again when these change.

    unit_key: XXH64 of the unit, of "" for none.
    """
    return avalanche(unit_key + np.uint64(kind))


@njit(cache=True)
def insert(slots: Any, metrics: Any) -> None:
    """Add entries whose names are not there; there is room for them."""
    for at in range(len(metrics)):
        slots[metric_slot(slots, metrics[at].name)] = metrics[at]


@njit(cache=True)
def note_families(
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    types: NDArray[np.uint8],
    unit_keys: NDArray[np.uint64],
    first: int,
    slots: Any,
    n_held: int,
    salt: np.uint64,
    now_min: int,
    room: int,
    n_tell: int,
    told: NDArray[np.bool_],
) -> tuple[int, int, int, int]:
    """Note families, columns of Families, from the first one on; set which are told now.

    n_held: names in the table. room: how many may be added. n_tell: how many may be told.
    Returns the next family, before the end where the table must grow, how many names were added,
    how many say something new, and how many families were left out.
    """
    scratch = np.empty(MAX_NAME_BYTES + _SUFFIX_BYTES, dtype=np.uint8)
    names = np.empty(_NAMES_OF_FAMILY, dtype=np.uint64)
    n_added, n_changed, n_left_out = 0, 0, 0
    for row in range(first, len(types)):
        if 2 * (n_held + n_added + _NAMES_OF_FAMILY) > len(slots):
            return row, n_added, n_changed, n_left_out
        start, end, kind, unit_key = bounds[row, 0], bounds[row, 1], types[row], unit_keys[row]
        names[0] = salted_name(text, start, end, salt)
        own = slots[metric_slot(slots, names[0])]
        if _says(own, names[0], kind, unit_key) and now_min - own.told_min < TELL_MIN:
            continue
        n_names = _name_series(text[start:end], kind, salt, scratch, names)
        n_new = 0
        for at in range(n_names):
            n_new += slots[metric_slot(slots, names[at])].name == np.uint64(0)
        if n_new > room - n_added:
            n_left_out += 1
            continue
        n_added += n_new
        for at in range(n_names):
            one = slots[metric_slot(slots, names[at])]
            n_changed += _take(one, names[at], kind, unit_key, int(at == 0), now_min)
        if n_tell > 0 and _says(own, names[0], kind, unit_key):
            own.told_min = max(own.told_min, now_min)
            told[row] = True
            n_tell -= 1
    return len(types), n_added, n_changed, n_left_out


@njit(inline="always")
def _says(own: Any, name: np.uint64, kind: int, unit_key: np.uint64) -> bool:
    """Whether the entry of a family's own name says just this of it."""
    return bool(own.name == name and own.is_own and own.type == kind and own.unit_key == unit_key)


@njit(cache=True)
def _name_series(
    family: NDArray[np.uint8],
    kind: int,
    salt: np.uint64,
    scratch: NDArray[np.uint8],
    names: NDArray[np.uint64],
) -> int:
    """Add the salted names of a family's series behind its own; return how many names it has."""
    n, size = 1, len(family)
    scratch[:size] = family
    for at in range(_FIRST_SUFFIX[kind], _FIRST_SUFFIX[kind + 1]):
        suffix = _SUFFIX_TEXT[_SUFFIX_ENDS[at] : _SUFFIX_ENDS[at + 1]]
        if n == 1 and _IS_WHOLE[kind] and _ends_with(family, suffix):
            return 1
        scratch[size : size + len(suffix)] = suffix
        names[n] = salted_name(scratch, 0, size + len(suffix), salt)
        n += 1
    return n


@njit(inline="always")
def _ends_with(text: NDArray[np.uint8], suffix: NDArray[np.uint8]) -> bool:
    shift = len(text) - len(suffix)
    if shift < 0:
        return False
    for at in range(len(suffix)):
        if text[shift + at] != suffix[at]:
            return False
    return True


@njit(inline="always")
def _take(
    one: Any, name: np.uint64, kind: int, unit_key: np.uint64, is_own: int, now_min: int
) -> bool:
    """Let an entry say this of its name, unless what it says holds; return whether that is new."""
    is_empty = one.name == np.uint64(0)
    is_same = one.type == kind and one.unit_key == unit_key
    if is_empty or not is_same or one.is_own != is_own:
        if not is_empty and now_min - one.heard_min <= FRESH_MIN:
            if one.is_own != is_own:
                stays = one.is_own > is_own
            elif one.type != kind:
                stays = one.type > kind
            else:
                stays = one.unit_key > unit_key
            if stays:
                return False
        one.type, one.is_own, one.unit_key = kind, is_own, unit_key
        one.heard_min, one.told_min = now_min, _LONG_AGO
        # Last: who reads beside this finds an entry that is whole.
        one.name = name
    one.heard_min = max(one.heard_min, now_min)
    return is_empty or not is_same

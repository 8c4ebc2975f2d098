"""Rows of rollups of two stores held against each other, byte by byte."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KEY = ("tenant", "width_s", "series_id", "start_s")

_Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not the same on both sides.

    kind: `different`, `only live` or `only replay`. columns: by name the values of live and replay.
    """

    kind: str
    key: dict[str, Any]
    columns: dict[str, tuple[Any, Any]]


@dataclass(slots=True)
class Comparison:
    """Counts of windows, and the first few differences."""

    limit: int = 20
    n_equal: int = 0
    n_different: int = 0
    n_only_live: int = 0
    n_only_replay: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def n_compared(self) -> int:
        """Windows that are on one side at least."""
        return self.n_equal + self.n_different + self.n_only_live + self.n_only_replay

    def is_same(self) -> bool:
        """Whether there are windows, and every one is on both sides and equal."""
        return 0 < self.n_compared == self.n_equal

    def add(self, live: pa.Table, replayed: pa.Table) -> None:
        """Compare all rows of two tables with the same columns; each key is in a table once."""
        in_live, in_replay, only_live, only_replay = _join(live, replayed)
        one, other = live.take(pa.array(in_live)), replayed.take(pa.array(in_replay))
        wrong = _unequal_columns(one, other)
        is_wrong = np.zeros(len(in_live), dtype=np.bool_)
        for rows in wrong.values():
            is_wrong |= rows
        self.n_different += int(is_wrong.sum())
        self.n_equal += len(in_live) - int(is_wrong.sum())
        self.n_only_live += len(only_live)
        self.n_only_replay += len(only_replay)
        for at in self._some(np.flatnonzero(is_wrong)):
            columns = {
                name: (one[name][at].as_py(), other[name][at].as_py())
                for name, rows in wrong.items()
                if rows[at]
            }
            self.differences.append(Difference("different", _key(one, at), columns))
        sides = (("only live", live, only_live), ("only replay", replayed, only_replay))
        for kind, table, alone in sides:
            for at in self._some(alone):
                self.differences.append(Difference(kind, _key(table, at), {}))

    def _some(self, rows: _Indices) -> Iterator[int]:
        yield from rows[: max(0, self.limit - len(self.differences))].tolist()


def _key(table: pa.Table, at: int) -> dict[str, Any]:
    return {name: table[name][at].as_py() for name in KEY}


def _join(live: pa.Table, replayed: pa.Table) -> tuple[_Indices, _Indices, _Indices, _Indices]:
    """Return places of rows with the same key in both, and those of the rows on one side only."""
    n = len(live)
    keys = [_key_column(live, replayed, name) for name in reversed(KEY)]
    if n == len(replayed) and all(np.array_equal(key[:n], key[n:]) for key in keys):
        everything = np.arange(n)
        return everything, everything, everything[:0], everything[:0]
    # Live rows come first among equals: lexsort is stable.
    order = np.lexsort(keys)
    is_pair = np.ones(max(0, len(order) - 1), dtype=np.bool_)
    for key in keys:
        is_pair &= key[order[1:]] == key[order[:-1]]
    first = np.flatnonzero(is_pair)
    is_alone = np.ones(len(order), dtype=np.bool_)
    is_alone[first] = is_alone[first + 1] = False
    alone = order[is_alone]
    return order[first], order[first + 1] - n, alone[alone < n], alone[alone >= n] - n


def _key_column(live: pa.Table, replayed: pa.Table, name: str) -> NDArray[Any]:
    both = pa.concat_arrays([one[name].combine_chunks() for one in (live, replayed)])
    return np.asarray((both.dictionary_encode().indices if name == "tenant" else both).to_numpy())


def _unequal_columns(one: pa.Table, other: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """Return by column which rows differ; floats by their bits, lists entry by entry."""
    wrong = {}
    for name in one.column_names:
        if name in KEY:
            continue
        left, right = (table[name].combine_chunks() for table in (one, other))
        unequal = (
            _unequal_lists(left, right)
            if pa.types.is_list(left.type)
            else _bits(left) != _bits(right)
        )
        if unequal.any():
            wrong[name] = unequal
    return wrong


def _bits(column: pa.Array) -> NDArray[Any]:
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    return values.view(np.uint64) if values.dtype == np.float64 else values


def _unequal_lists(left: pa.ListArray, right: pa.ListArray) -> NDArray[np.bool_]:
    lengths, others = (one.value_lengths().to_numpy() for one in (left, right))
    unequal: NDArray[np.bool_] = lengths != others
    rows = np.flatnonzero(~unequal)
    entries, other_entries = (
        one.take(pa.array(rows)).flatten().to_numpy() for one in (left, right)
    )
    row_of_entry = np.repeat(rows, lengths[rows])
    unequal[row_of_entry[entries != other_entries]] = True
    return unequal

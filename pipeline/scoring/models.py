"""Models of many series, in shards: growth copies nothing, and a snapshot is taken in pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Self

import cramjam
import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.rules import Rule
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores

SHARD_BITS = 11
SHARD_SLOTS = 1 << SHARD_BITS


def bytes_per_model() -> int:
    """Return the memory of one slot."""
    scorer = Scorer()
    scorer.grow(1)
    return scorer.n_bytes() // len(scorer)


@dataclass(slots=True)
class Room:
    """Memory for models that several owners share, as shards that are left."""

    n_shards: int

    @classmethod
    def of(cls, n_bytes: int) -> Self:
        """Return as many shards as fit."""
        return cls(n_bytes // (bytes_per_model() << SHARD_BITS))


class Models:
    """Slots in shards of SHARD_SLOTS; slot s is the one of number s % SHARD_SLOTS in its shard.

    rules: as for Scorer. room: what shards are taken of; the first one is always there.
    """

    def __init__(self, rules: Sequence[Rule], room: Room) -> None:
        self._rules = rules
        self._room = room
        self._shards: list[Scorer] = []
        # Slots without a series; the last _n_free are given away from the end.
        self.free = np.zeros(0, dtype=np.int32)
        self.n_free = 0

    def __len__(self) -> int:
        """Return the number of slots."""
        return len(self._shards) << SHARD_BITS

    def n_bytes(self) -> int:
        """Return the memory of all slots."""
        return sum(shard.n_bytes() for shard in self._shards)

    def add_shard(self) -> bool:
        """Add free slots; False where there is no room for them."""
        if self._shards and self._room.n_shards <= 0:
            return False
        self._room.n_shards -= 1
        first = len(self)
        self._shards.append(self._new_shard())
        # From the end, so that slots are given away in ascending order.
        self._release(np.arange(first + SHARD_SLOTS - 1, first - 1, -1, dtype=np.int32))
        return True

    def evict(self, slots: NDArray[np.int32]) -> None:
        """Forget the series in these slots."""
        for number, of_shard in self._by_shard(np.sort(slots).astype(np.int64)):
            self._shards[number].evict(of_shard)
        self._release(np.sort(slots)[::-1].astype(np.int32))

    def replace_rules(self, rules: Sequence[Rule]) -> None:
        """Take a longer table of rules."""
        self._rules = rules
        for shard in self._shards:
            shard.replace_rules(rules)

    def set_rules(self, slots: NDArray[np.int32], rules: NDArray[np.int32]) -> None:
        """Give series the rules of these indices."""
        order = np.argsort(slots, kind="stable")
        rules_in_order, at = rules[order].astype(np.int64), 0
        for number, of_shard in self._by_shard(slots[order].astype(np.int64)):
            of_rules = rules_in_order[at : at + len(of_shard)]
            self._shards[number].set_rules(of_shard, of_rules)
            at += len(of_shard)

    def update(
        self, slots: NDArray[np.int64], times_s: NDArray[np.float64], values: NDArray[np.float64]
    ) -> Scores:
        """Judge windows, shape (n,) each, then learn them; slots ascending, else as Scorer does."""
        if not len(slots):
            return Scorer(self._rules).update(slots, times_s, values)
        parts: list[Scores] = []
        at = 0
        for number, of_shard in self._by_shard(slots):
            end = at + len(of_shard)
            parts.append(self._shards[number].update(of_shard, times_s[at:end], values[at:end]))
            at = end
        return parts[0] if len(parts) == 1 else _joined(parts)

    def snapshot(self) -> list[bytes]:
        """Return all shards, each compressed by itself."""
        return [bytes(cramjam.lz4.compress_block(shard.snapshot())) for shard in self._shards]

    def restore(self, shards: Sequence[bytes], used: NDArray[np.int32]) -> None:
        """Take the shards of a snapshot, of whose slots those in used have a series.

        Raises UnknownVersion for models of another build, ValueError for what is no snapshot.
        """
        restored = []
        for packed in shards:
            scorer = Scorer(self._rules)
            try:
                scorer.restore(bytes(cramjam.lz4.decompress_block(packed)))
            except cramjam.DecompressionError as error:
                raise ValueError(f"anomaly models do not unpack: {error}") from None
            if len(scorer) != SHARD_SLOTS:
                raise ValueError(f"a shard of {len(scorer)} anomaly models, not {SHARD_SLOTS}")
            restored.append(scorer)
        self._room.n_shards -= len(restored) - len(self._shards)
        self._shards = restored
        is_free = np.ones(len(self), dtype=np.bool_)
        is_free[used] = False
        self.free, self.n_free = np.zeros(0, dtype=np.int32), 0
        self._release(np.flatnonzero(is_free)[::-1].astype(np.int32))

    def _new_shard(self) -> Scorer:
        scorer = Scorer(self._rules)
        scorer.grow(SHARD_SLOTS)
        return scorer

    def _release(self, slots: NDArray[np.int32]) -> None:
        self.free = np.concatenate([self.free[: self.n_free], slots])
        self.n_free = len(self.free)

    def _by_shard(self, slots: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """Return of ascending slots each shard's number, and its slots' numbers in it."""
        if not len(slots):
            return []
        shards = slots >> SHARD_BITS
        bounds = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(slots)]
        return [
            (int(shards[start]), slots[start:end] & (SHARD_SLOTS - 1))
            for start, end in pairwise(bounds)
        ]


def _joined(parts: Sequence[Scores]) -> Scores:
    names = [field.name for field in fields(Scores)]
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

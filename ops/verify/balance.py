"""The balance of logged samples: each is stored, was replaced by a later one, or dead-lettered."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from schemas.samples import SampleBlock

LAST_RANK = (1 << 64) - 1
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Ranks:
    """An order of all series that a seed gives: by id * factor + seed, modulo 2**64.

    The store sorts by the same, so the first N series are the same on both sides.
    """

    factor: int
    seed: int

    def of(self, series_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the rank of each series, shape (n,)."""
        ranks: NDArray[np.uint64] = series_ids * np.uint64(self.factor) + np.uint64(self.seed)
        return ranks

    def of_one(self, series_id: int) -> int:
        """Return the rank of one series."""
        return (series_id * self.factor + self.seed) & LAST_RANK


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples by series and time, each pair once, shape (n,) each.

    bits: uint64, the values' bits. counts: how often a pair was logged. lettered: whether the
    record that it was last in was dead-lettered. expires_ms: when the store may drop it.
    """

    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    bits: NDArray[np.uint64]
    counts: NDArray[np.int64]
    lettered: NDArray[np.bool_]
    expires_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series_ids)

    def where(self, keep: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Samples":
        """Return the rows that an index takes."""
        return Samples(*(getattr(self, one.name)[keep] for one in fields(self)))


def samples_of(block: SampleBlock, *, lettered: bool = False) -> Samples:
    """Return a block's samples in the order of arrival; a pair may stand there more than once."""
    n = len(block)
    expires_ms = block.times_ms + block.retention_days * _DAY_MS
    return Samples(
        block.series_ids,
        block.times_ms,
        block.values.view(np.uint64),
        np.ones(n, np.int64),
        np.full(n, lettered),
        expires_ms,
    )


def merge(parts: list[Samples]) -> Samples:
    """Return all samples by series and time; of several of one pair the last one, counted."""
    if not parts:
        return samples_of(SampleBlock("", 0, 0, *_NONE))
    whole = Samples(
        *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Samples))
    )
    # Stable: rows of one pair stay in the order of arrival.
    ordered = whole.where(np.lexsort((whole.times_ms, whole.series_ids)))
    ids, times = ordered.series_ids, ordered.times_ms
    is_last = np.ones(len(ordered), dtype=bool)
    is_last[:-1] = (ids[1:] != ids[:-1]) | (times[1:] != times[:-1])
    ends = np.flatnonzero(is_last)
    merged = ordered.where(ends)
    totals = np.cumsum(ordered.counts)[ends]
    merged.counts[:] = np.diff(totals, prepend=0)
    return merged


class Gathering:
    """Samples of series whose rank is at most `last`, as many of them as fit the memory.

    With more than max_samples the series of higher rank are dropped, and `last` is lowered to the
    rank of the last one that stays: the others are for another reading of the log.
    """

    def __init__(self, ranks: Ranks, first: int, last: int, max_samples: int) -> None:
        self.last = last
        self._ranks = ranks
        self._first = first
        self._max_samples = max_samples
        self._parts: list[Samples] = []
        self._n = 0

    def add(self, samples: Samples) -> None:
        """Add samples in the order of arrival."""
        ranks = self._ranks.of(samples.series_ids)
        wanted = samples.where((ranks >= np.uint64(self._first)) & (ranks <= np.uint64(self.last)))
        if not len(wanted):
            return
        self._parts.append(wanted)
        self._n += len(wanted)
        if self._n > 2 * self._max_samples:
            self._shrink()

    def take(self) -> Samples:
        """Return what is gathered, merged."""
        return merge(self._parts)

    def _shrink(self) -> None:
        merged = merge(self._parts)
        while len(merged) > self._max_samples:
            ranks = self._ranks.of(merged.series_ids)
            distinct = np.unique(ranks)
            if len(distinct) == 1:
                break  # one series alone is more than that: there is no less to hold
            self.last = int(distinct[(len(distinct) - 1) // 2])
            merged = merged.where(ranks <= np.uint64(self.last))
        self._parts, self._n = [merged], len(merged)


@dataclass(frozen=True, slots=True)
class Found:
    """What of logged samples is in the store. stored_bits: where not missing, else 0."""

    is_missing: NDArray[np.bool_]
    is_wrong: NDArray[np.bool_]
    stored_bits: NDArray[np.uint64]


def find(
    logged: Samples,
    series_ids: NDArray[np.uint64],
    times_ms: NDArray[np.int64],
    bits: NDArray[np.uint64],
) -> Found:
    """Hold logged samples against stored ones: both by series and time, each pair once."""
    n = len(logged)
    ids = np.concatenate([logged.series_ids, series_ids])
    times = np.concatenate([logged.times_ms, times_ms])
    # Stable: the logged one of a pair comes before the stored one.
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    is_pair = (ids[1:] == ids[:-1]) & (times[1:] == times[:-1])
    at = np.flatnonzero(is_pair)
    stored_bits = np.zeros(n, dtype=np.uint64)
    is_missing = np.ones(n, dtype=bool)
    is_missing[order[at]] = False
    stored_bits[order[at]] = bits[order[at + 1] - n]
    return Found(is_missing, ~is_missing & (stored_bits != logged.bits), stored_bits)


def by_day(samples: Samples, max_series: int) -> Iterator[Samples]:
    """Split samples into parts of one UTC day and at most so many series, for the store's pages."""
    days = samples.times_ms // _DAY_MS
    for day in np.unique(days):
        of_day = samples.where(days == day)
        series = np.unique(of_day.series_ids)
        for start in range(0, len(series), max_series):
            some = series[start : start + max_series]
            first, last = some[0], some[-1]
            yield of_day.where((of_day.series_ids >= first) & (of_day.series_ids <= last))


_NONE = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64))

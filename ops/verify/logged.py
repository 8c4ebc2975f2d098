"""Walks the log of samples, and looks up in the store what of it should be there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from ops.verify.balance import Gathering, Ranks, Samples, by_day, merge, samples_of
from ops.verify.report import Balance, SampleDifference
from ops.verify.sample_log import Offsets, Part, SampleLog
from ops.verify.store import SERIES_AT_ONCE, VerifiedStore
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.samples import SampleBlock, check_storable, decode_samples

# Of the chosen series, 41 bytes each, twice while they are sorted.
MAX_SAMPLES = 4_000_000
MAX_KEPT = 1_000

_Values = NDArray[np.void]
_NO_VALUES = np.empty(0, "V24")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Walk:
    """What to look for: a tenant's series whose rank is at most last_rank."""

    tenant: str
    ranks: Ranks
    last_rank: int
    lettered: dict[int, set[int]]
    now_ms: int


class LogCheck:
    """Reads every part once, or more often where the chosen series do not fit the memory."""

    def __init__(self, log: SampleLog, store: VerifiedStore, walk: Walk, say: Say) -> None:
        self.balance = Balance()
        self.differences: list[SampleDifference] = []
        self.series_ids: set[int] = set()
        self._log = log
        self._store = store
        self._walk = walk
        self._say = say
        self._parts: list[Part] = []
        self._suspects: list[tuple[Part, Samples]] = []

    async def check(self, parts: list[Part]) -> None:
        """Walk all parts, and fill the balance with what is sure at once."""
        self._parts = parts
        for part in parts:
            first, is_counted = 0, False
            while first <= self._walk.last_rank:
                gathering = Gathering(self._walk.ranks, first, self._walk.last_rank, MAX_SAMPLES)
                await self._gather(part, gathering, is_counted=is_counted)
                self._look_up(part, gathering.take())
                first, is_counted = gathering.last + 1, True

    async def look_again(self, ends: Offsets) -> None:
        """Judge what was not there, or had another value; all records before ends are archived."""
        if not self._suspects:
            return
        wanted = merge([samples for _, samples in self._suspects])
        values = [await self._values(part, ends[part.place], wanted) for part in self._parts]
        for part, samples in self._suspects:
            # Of two partitions none is the later one: series move when partitions are added.
            right = [
                after if other.place == part.place else np.concatenate([within, after])
                for other, (within, after) in zip(self._parts, values, strict=True)
            ]
            for some in by_day(samples, SERIES_AT_ONCE):
                self._judge(some, np.concatenate(right))

    @property
    def n_suspects(self) -> int:
        """How many samples are to be looked at again."""
        return sum(len(samples) for _, samples in self._suspects)

    async def _gather(self, part: Part, gathering: Gathering, *, is_counted: bool) -> None:
        async for records in self._log.read(part):
            for record in records:
                for block in self._blocks(record, is_counted=is_counted):
                    letters = self._walk.lettered.get(record.partition, set())
                    gathering.add(samples_of(block, lettered=record.offset in letters))
            self._say(f"log: partition {part.place.partition}, offset {records[-1].offset:,}")

    def _blocks(self, record: ConsumerRecord, *, is_counted: bool) -> list[SampleBlock]:
        """Return the tenant's blocks of a record; one that nobody can read has none."""
        try:
            blocks = decode_samples(record.value or b"")
            for block in blocks:
                check_storable(block)
        except (InvalidRecord, UnknownVersion):
            letters = self._walk.lettered.get(record.partition, set())
            self.balance.unreadable += not is_counted
            self.balance.without_letter += not is_counted and record.offset not in letters
            blocks = []
        own = [block for block in blocks if block.tenant == self._walk.tenant and len(block)]
        if not is_counted:
            self.balance.n_records += 1
            self.balance.logged += sum(map(len, own))
        return own

    def _look_up(self, part: Part, samples: Samples) -> None:
        balance = self.balance
        balance.chosen += int(samples.counts.sum())
        balance.repeated += int(samples.counts.sum()) - len(samples)
        self.series_ids.update(np.unique(samples.series_ids).tolist())
        balance.n_series = len(self.series_ids)
        is_gone = samples.expires_ms <= self._walk.now_ms
        balance.expired += int(is_gone.sum())
        for some in by_day(samples.where(~is_gone), SERIES_AT_ONCE):
            found = self._store.find(some)
            is_odd = found.is_missing | found.is_wrong
            balance.stored += int((~is_odd).sum())
            balance.dead_lettered += int((is_odd & some.lettered).sum())
            odd = some.where(is_odd & ~some.lettered)
            if len(odd):
                self._suspects.append((part, odd))

    async def _values(self, part: Part, end: int, wanted: Samples) -> tuple[_Values, _Values]:
        """Return which values of these series and times stand within the part, and after it."""
        found: tuple[list[_Values], list[_Values]] = ([], [])
        pairs = _values_of(wanted, without_bits=True)
        async for records in self._log.read(Part(part.place, part.start, end)):
            for record in records:
                for block in self._blocks(record, is_counted=True):
                    samples = samples_of(block)
                    is_wanted = np.isin(_values_of(samples, without_bits=True), pairs)
                    values = _values_of(samples.where(is_wanted))
                    found[record.offset >= part.end].append(values)
        within, after = (np.unique(np.concatenate([_NO_VALUES, *some])) for some in found)
        return within, after

    def _judge(self, some: Samples, right: _Values) -> None:
        found = self._store.find(some)
        stored = replace(some, bits=found.stored_bits)
        is_replaced = np.isin(_values_of(stored), right) & ~found.is_missing
        is_wrong = found.is_wrong & ~is_replaced
        self.balance.stored += int((~found.is_missing & ~is_wrong).sum())
        self.balance.lost += int(found.is_missing.sum())
        self.balance.wrong += int(is_wrong.sum())
        for at in np.flatnonzero(found.is_missing | is_wrong)[: MAX_KEPT - len(self.differences)]:
            lost = bool(found.is_missing[at])
            self.differences.append(
                SampleDifference(
                    "lost" if lost else "wrong",
                    int(some.series_ids[at]),
                    int(some.times_ms[at]),
                    _shown(some.bits[at]),
                    "nothing" if lost else _shown(found.stored_bits[at]),
                )
            )


def _values_of(samples: Samples, *, without_bits: bool = False) -> _Values:
    """Return series, time and value of each sample as one comparable thing, shape (n,)."""
    columns = [samples.series_ids, samples.times_ms.view(np.uint64), samples.bits]
    rows = np.stack(columns[:2] if without_bits else columns, axis=1)
    values: _Values = np.ascontiguousarray(rows).view(f"V{rows.shape[1] * 8}")[:, 0]
    return values


def _shown(bits: np.uint64) -> str:
    value = np.array([bits]).view(np.float64)[0]
    return f"{float(value)!r} ({int(bits):016x})"

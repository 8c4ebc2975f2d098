"""Walks the log of samples, and looks up in the store what of it should be there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from ops.verify.balance import Gathering, Ranks, Samples, by_day, merge, samples_of
from ops.verify.report import Balance, SampleDifference
from ops.verify.sample_log import Offsets, Part, SampleLog
from ops.verify.store import SERIES_AT_ONCE, VerifiedStore
from schemas.errors import InvalidRecord
from schemas.samples import SampleBlock, check_storable, decode_samples

# Of the chosen series, 41 bytes each, twice while they are sorted.
MAX_SAMPLES = 4_000_000
MAX_KEPT = 1_000

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
        self._suspects: list[tuple[Part, Samples]] = []

    async def check(self, parts: list[Part]) -> None:
        """Walk all parts, and fill the balance with what is sure at once."""
        for part in parts:
            first, is_counted = 0, False
            while first <= self._walk.last_rank:
                gathering = Gathering(self._walk.ranks, first, self._walk.last_rank, MAX_SAMPLES)
                await self._gather(part, gathering, is_counted=is_counted)
                self._look_up(part, gathering.take())
                first, is_counted = gathering.last + 1, True

    async def look_again(self, ends: Offsets) -> None:
        """Judge what was not there, or had another value; all records before ends are archived."""
        for part, samples in self._suspects:
            later = await self._later_values(part, ends[part.place], samples)
            for some in by_day(samples, SERIES_AT_ONCE):
                self._judge(some, later)

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
        except InvalidRecord:
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

    async def _later_values(self, part: Part, end: int, samples: Samples) -> Samples:
        """Return what came for these series after the part: a value of it is no wrong one."""
        ids = np.unique(samples.series_ids)
        found = []
        async for records in self._log.read(Part(part.place, part.end, end)):
            for record in records:
                for block in self._blocks(record, is_counted=True):
                    of_series = samples_of(block)
                    found.append(of_series.where(np.isin(of_series.series_ids, ids)))
        return merge(found)

    def _judge(self, some: Samples, later: Samples) -> None:
        found = self._store.find(some)
        is_replaced = _is_any(some, found.stored_bits, later) & ~found.is_missing
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


def _is_any(some: Samples, stored_bits: NDArray[np.uint64], later: Samples) -> NDArray[np.bool_]:
    """Return which stored values are ones that came later for the same series and time."""
    values = set(
        zip(later.series_ids.tolist(), later.times_ms.tolist(), later.bits.tolist(), strict=True)
    )
    places = zip(
        some.series_ids.tolist(), some.times_ms.tolist(), stored_bits.tolist(), strict=True
    )
    return np.array([place in values for place in places], dtype=bool)


def _shown(bits: np.uint64) -> str:
    value = np.array([bits]).view(np.float64)[0]
    return f"{float(value)!r} ({int(bits):016x})"

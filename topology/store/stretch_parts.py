"""Marked windows, sorted into parts that one read of the stored samples serves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.slots import LOOKBACK_MS
from pipeline.stretches import STRETCH, coarser, merge
from schemas.rollups import RecomputeBlock

# Windows of a part. Scraped every 10 s, each has 6 samples, and a stretch 30 more before it.
MAX_WINDOWS = 10_000

_HOUR_MS = 3_600_000
_MARK = np.dtype(
    [
        ("width_ms", "<i8"),
        ("retention_days", "<i8"),
        ("flags", "<i8"),
        ("first_hour", "<i8"),
        ("last_hour", "<i8"),
        ("tenant", "<i8"),
        ("closed_until_ms", "<i8"),
        ("stretch", STRETCH),
    ]
)
# What the windows of a part have in common: a read of their samples reads little else.
_COMMON = ("width_ms", "retention_days", "flags", "first_hour", "last_hour")

Stretches = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Part:
    """Stretches of windows of one width, which begin in one hour and end in one.

    marks: at least one, sorted by tenant, which is an index into tenants.
    """

    tenants: Sequence[str]
    marks: NDArray[np.void]

    @property
    def width_ms(self) -> int:
        """Width of all windows."""
        return int(self.marks["width_ms"][0])

    @property
    def retention_days(self) -> int:
        """Retention of the rows to be written."""
        return int(self.marks["retention_days"][0])

    @property
    def flags(self) -> int:
        """Flags of the samples (schemas.samples)."""
        return int(self.marks["flags"][0])

    def n_windows(self) -> int:
        """Return how many windows the stretches hold."""
        return int(_n_windows(self.marks).sum())

    def stretches(self) -> dict[str, Stretches]:
        """Return the stretches by tenant, merged."""
        return {tenant: merge(some["stretch"], self.width_ms) for tenant, some in self._by_tenant()}

    def coarser(self, width_ms: int) -> dict[str, Stretches]:
        """Return the closed windows of a coarser width that hold one of these, by tenant."""
        found = {
            tenant: coarser(some["stretch"], some["closed_until_ms"], width_ms)
            for tenant, some in self._by_tenant()
        }
        return {tenant: stretches for tenant, stretches in found.items() if len(stretches)}

    def halves(self) -> list["Part"]:
        """Return two parts of the same windows; the part itself where there is one window."""
        marks = self.marks if len(self.marks) > 1 else _cut_in_time(self.marks)
        half = len(marks) // 2
        return [Part(self.tenants, some) for some in (marks[:half], marks[half:]) if len(some)]

    def _by_tenant(self) -> Iterator[tuple[str, NDArray[np.void]]]:
        for start, end in _runs(self.marks, ["tenant"]):
            yield self.tenants[self.marks["tenant"][start]], self.marks[start:end]


def span_ms(stretches: dict[str, Stretches], width_ms: int) -> tuple[int, int]:
    """Return the first window's start and the last one's end."""
    first_ms = min(int(one["first_ms"].min()) for one in stretches.values())
    return first_ms, max(int(one["last_ms"].max()) for one in stretches.values()) + width_ms


def lookback_from(first_ms: int) -> int:
    """Return from when on samples matter to windows that begin at first_ms."""
    return max(0, first_ms - LOOKBACK_MS)


def parts_of(blocks: Sequence[RecomputeBlock]) -> Iterator[Part]:
    """Yield the blocks' stretches in parts, none of much more than MAX_WINDOWS windows."""
    if not blocks:
        return
    tenants = sorted({block.tenant for block in blocks})
    marks = np.concatenate([_marks(block, tenants.index(block.tenant)) for block in blocks])
    within = (marks["stretch"]["first_ms"], marks["stretch"]["series_id"], marks["tenant"])
    marks = marks[np.lexsort((*within, *(marks[name] for name in _COMMON)))]
    for start, end in _runs(marks, _COMMON):
        n_until = np.cumsum(_n_windows(marks[start:end]))
        cuts = np.flatnonzero(np.diff(n_until // MAX_WINDOWS)) + 1 + start
        for bounds in pairwise([start, *cuts.tolist(), end]):
            yield Part(tenants, marks[slice(*bounds)])


def _marks(block: RecomputeBlock, tenant: int) -> NDArray[np.void]:
    marks = np.empty(len(block), dtype=_MARK)
    marks["tenant"] = tenant
    marks["width_ms"] = block.width_s * 1000
    marks["retention_days"] = block.retention_days
    marks["flags"] = block.flags
    marks["closed_until_ms"] = block.closed_until_ms
    marks["first_hour"] = block.first_ms // _HOUR_MS
    marks["last_hour"] = block.last_ms // _HOUR_MS
    marks["stretch"]["series_id"] = block.series_ids
    marks["stretch"]["first_ms"], marks["stretch"]["last_ms"] = block.first_ms, block.last_ms
    return marks


def _runs(marks: NDArray[np.void], names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of marks in which the columns do not change."""
    is_other = np.zeros(len(marks) - 1, dtype=np.bool_)
    for name in names:
        is_other |= marks[name][1:] != marks[name][:-1]
    yield from pairwise([0, *(np.flatnonzero(is_other) + 1).tolist(), len(marks)])


def _cut_in_time(marks: NDArray[np.void]) -> NDArray[np.void]:
    """Cut the only stretch in two, unless it is a single window."""
    n_windows = int(_n_windows(marks)[0])
    if n_windows == 1:
        return marks
    cut, width_ms = np.repeat(marks, 2), int(marks["width_ms"][0])
    after_ms = int(marks["stretch"]["first_ms"][0]) + n_windows // 2 * width_ms
    cut["stretch"]["last_ms"][0], cut["stretch"]["first_ms"][1] = after_ms - width_ms, after_ms
    return cut


def _n_windows(marks: NDArray[np.void]) -> NDArray[np.int64]:
    length_ms = marks["stretch"]["last_ms"] - marks["stretch"]["first_ms"]
    counts: NDArray[np.int64] = length_ms // marks["width_ms"] + 1
    return counts

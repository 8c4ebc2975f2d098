"""Stored samples as a log: range after range of series, each in the order of time."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ops.api import TooMuch
from ops.replay.live import Live
from ops.replay.plan import ReplayError, Span
from ops.replay.source import Record
from schemas.samples import FINE_WINDOWS, SKETCHES, SampleBlock, encode_samples, tick
from schemas.times import LAST_MS
from schemas.topics import series_range
from topology.store.export import Piece

_DAY_MS = 86_400_000
# What one request may give, well below the least that a store allows, and what a record holds.
_SAMPLES_PER_READ, _SAMPLES_PER_RECORD = 250_000, 30_000
_MAX_RANGES = 1 << 15
# A tick so long after the last window closes it.
_SILENCE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Tenant:
    """A tenant's days that have samples, by their first ms, and what its windows are to have."""

    name: str
    days_ms: tuple[int, ...]
    flags: int


class StoreSource:
    """Reads the live store.

    Ids are cut into n ranges, so that a day of one is a request: each is a partition of its own,
    read from the first sample to the last, tenant by tenant. When a sample was received is not
    known any more, and taken to be its time.
    """

    def __init__(self, live: Live, span: Span) -> None:
        self._live = live
        self._span = span
        self._tenants: list[_Tenant] = []
        self._begins: Mapping[int, int] = {}
        self._done = 0.0
        self.n_partitions = 0

    def open(self, begins: Mapping[int, int], n_partitions: int) -> None:
        """See what there is. begins, n_partitions: those of a checkpoint, or nothing and 0.

        Raises ApiError.
        """
        self._begins = begins
        largest = 0
        for name in self._live.tenants():
            sizes = self._live.read("sizes", self._piece(name))
            days_s, counts = sizes["day_s"].to_pylist(), sizes["n_samples"].to_pylist()
            largest = max([largest, *counts])
            if days_s:
                days_ms = tuple(day_s * 1000 for day_s in days_s)
                self._tenants.append(_Tenant(name, days_ms, self._flags(name)))
        wanted = 1 << max(0, (largest - 1) // _SAMPLES_PER_READ).bit_length()
        self.n_partitions = n_partitions or min(wanted, _MAX_RANGES)

    def is_blind(self, partition: int) -> bool:
        """Whether samples are missing: none that matters is."""
        del partition
        return False

    def n_open(self) -> int:
        """Return how many ranges are read side by side: one after the other."""
        return 1

    def progress(self) -> float:
        """Return how much of ranges and days is read."""
        return self._done

    async def close(self) -> None:
        """Nothing is held."""

    async def records(self) -> AsyncIterator[Record]:
        """Yield the ranges' samples. Raises ApiError or ReplayError."""
        for number in range(self.n_partitions):
            for record in self._range(number):
                if record.offset >= self._begins.get(number, 0):
                    yield record

    def _range(self, number: int) -> Iterator[Record]:
        """Yield a range's records; those of one request share an offset."""
        begin = self._begins.get(number, 0)
        offset, n_days = 0, sum(len(tenant.days_ms) for tenant in self._tenants)
        for tenant in self._tenants:
            for day_ms in tenant.days_ms:
                blocks = self._blocks(number, tenant, day_ms) if offset >= begin else []
                for at, block in enumerate(blocks, start=1):
                    payload = encode_samples([block])
                    is_end = at == len(blocks)
                    yield Record(number, offset, block.receive_ms, payload, is_resumable=is_end)
                offset += 1
                self._done = (number + offset / n_days) / self.n_partitions
        end_ms = self._span.to_ms + self._span.after_ms + _SILENCE_MS
        last = encode_samples([tick(end_ms, self.n_partitions)])
        yield Record(number, offset, end_ms, last, is_last=True)

    def _blocks(self, number: int, tenant: _Tenant, day_ms: int) -> list[SampleBlock]:
        first_id, last_id = series_range(number, self.n_partitions)
        piece = Piece(
            tenant.name,
            max(day_ms, self._span.begin_ms),
            min(day_ms + _DAY_MS, self._end_ms()),
            first_id,
            last_id,
        )
        try:
            table = self._live.read("samples", piece)
        except TooMuch as error:
            raise ReplayError(
                f"a day of {piece} has more samples than a query may give: raise query_max_rows "
                f"of the store ({error})"
            ) from None
        return list(self._blocks_of(tenant, table))

    def _blocks_of(self, tenant: _Tenant, table: pa.Table) -> Iterator[SampleBlock]:
        columns = {name: table[name].to_numpy() for name in table.column_names}
        days = columns["retention_days"]
        # A record has one retention; it changes when the tenant's tier does.
        changes = np.flatnonzero(np.diff(days)) + 1
        cuts = np.union1d(changes, np.arange(0, len(days), _SAMPLES_PER_RECORD)[1:])
        bounds = [0, *cuts.tolist(), len(days)]
        for start, end in pairwise(bounds):
            if start < end:
                times_ms = columns["time_ms"][start:end]
                yield SampleBlock(
                    tenant.name,
                    int(times_ms[-1]),
                    int(days[start]),
                    columns["series_id"][start:end],
                    times_ms,
                    columns["value"][start:end],
                    tenant.flags,
                    self.n_partitions,
                )

    def _flags(self, tenant: str) -> int:
        facts = self._live.read("facts", self._piece(tenant)).to_pylist()[0]
        return SKETCHES * bool(facts["sketches"]) | FINE_WINDOWS * bool(facts["fine_windows"])

    def _piece(self, tenant: str) -> Piece:
        return Piece(tenant, self._span.begin_ms, self._end_ms())

    def _end_ms(self) -> int:
        return min(self._span.to_ms + self._span.after_ms, LAST_MS)

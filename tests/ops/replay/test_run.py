"""The same log in one run, in two with a kill between, and in other records: the same bytes."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ops.replay import checkpoint
from ops.replay.checkpoint import ReplayState
from ops.replay.plan import ReplayError, Span
from ops.replay.run import Engines, Position, Run
from ops.replay.source import Record
from pipeline.windows import WindowConfig
from schemas.rollups import RecomputeBlock, RollupBlock, encode_rollups
from schemas.samples import (
    FINE_WINDOWS,
    SKETCHES,
    STALE_MARKER_BITS,
    SampleBlock,
    encode_samples,
    tick,
)
from topology.store.batch import Batch

ENGINES = Engines(WindowConfig())
STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])
STALE_BITS = np.float64(STALE).tobytes()
T0 = 1_800_000_000_000
SPAN = Span(T0 - 600_000, T0 + 1_200_000, 600_000, 72_000)

values = st.sampled_from([0.0, 1.0, 7.5, -3.0, STALE, math.nan])
steps_ms = st.one_of(st.integers(0, 20_000), st.integers(-400_000, 30_000))
samples = st.tuples(st.sampled_from([1, 2, 2**64 - 1]), steps_ms, values)
logs = st.lists(st.lists(samples, max_size=5), min_size=1, max_size=20)
Drawn = list[list[tuple[int, int, float]]]


class Killed(Exception):
    """The process is gone."""


@dataclass
class Tables:
    """What upserts leave: rows as streamed, windows to compute again, samples."""

    streamed: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    marked: set[tuple[int, int, int]] = field(default_factory=set)
    samples: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def apply(self, batch: Batch) -> None:
        for block in batch.samples:
            for at in range(len(block)):
                key = (int(block.series_ids[at]), int(block.times_ms[at]))
                self.samples[key] = block.values[at].tobytes()
        for rows in batch.rollups:
            for at in range(len(rows)):
                key_ = (rows.width_s, int(rows.series_ids[at]), int(rows.window_starts_ms[at]))
                self.streamed[key_] = encode_rollups([_row(rows, at)])
        for mark in marks_of(batch):
            self.marked.update(mark)

    def sure(self) -> Mapping[tuple[int, int, int], bytes]:
        """Return the rows that stay as streamed."""
        return {key: row for key, row in self.streamed.items() if key not in self.marked}


def marks_of(batch: Batch) -> list[set[tuple[int, int, int]]]:
    found = []
    for task in batch.tasks:
        block = task.block
        if not isinstance(block, RecomputeBlock):
            continue
        for series, first, last in zip(
            block.series_ids.tolist(), block.first_ms.tolist(), block.last_ms.tolist(), strict=True
        ):
            starts = range(first, last + 1, block.width_s * 1000)
            found.append({(block.width_s, series, start) for start in starts})
    return found


def _row(block: RollupBlock, at: int) -> RollupBlock:
    one = slice(at, at + 1)
    before = int(block.sketch_lengths[:at].sum())
    n = int(block.sketch_lengths[at])
    return RollupBlock(
        *(block.tenant, 0, block.retention_days, block.width_s),
        block.window_starts_ms[one],
        block.series_ids[one],
        block.counts[one],
        *(block.sums[one], block.mins[one], block.maxs[one], block.firsts[one]),
        *(block.lasts[one], block.increases[one], block.sketch_lengths[one]),
        block.sketch[before : before + n],
    )


def lay_out(drawn: Drawn) -> list[SampleBlock]:
    """Turn steps into blocks, ticks where there are none, and a last tick that closes all."""
    now_ms, blocks = T0, []
    for record in drawn:
        now_ms += 8_000 if record else 60_000
        ids, steps, numbers = zip(*record, strict=True) if record else ((), (), ())
        block = SampleBlock(
            *("t", now_ms, 30),
            np.array(ids, np.uint64),
            now_ms + np.array(steps, np.int64),
            np.array(numbers, np.float64),
            SKETCHES | FINE_WINDOWS,
        )
        blocks.append(block if record else tick(now_ms))
    return [*blocks, tick(now_ms + 3_600_000)]


def last_values(blocks: Sequence[SampleBlock]) -> dict[tuple[int, int], bytes]:
    """Return each sample's bits; of several of one time those that came last."""
    return {
        (int(block.series_ids[at]), int(block.times_ms[at])): block.values[at].tobytes()
        for block in blocks
        for at in range(len(block))
    }


def one_a_record(blocks: Sequence[SampleBlock]) -> list[Record]:
    return [
        Record(0, offset, block.receive_ms, encode_samples([block]))
        for offset, block in enumerate(blocks)
    ]


@dataclass
class ListSource:
    """A log in memory, from a position on, in which the process may be killed."""

    log: list[Record]
    begin: int = 0
    killed_before: int | None = None
    now_s: float = 0.0

    async def records(self) -> AsyncIterator[Record]:
        for record in self.log:
            if record.offset == self.killed_before:
                raise Killed
            if record.offset >= self.begin:
                self.now_s += 3_600
                yield record

    def is_blind(self, partition: int) -> bool:
        del partition
        return False

    def n_open(self) -> int:
        return 1

    def progress(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing is held."""


class Folder:
    """A checkpoint in a folder; each so many a save does not come to its end."""

    def __init__(self, path: Path, killed_at: int | None = None) -> None:
        self._path = path
        self._left = killed_at

    def save(self, position: Position) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed
        offsets, engines = dict(position.next_offsets), position.snapshot()
        checkpoint.save(self._path, ReplayState("log", 0, 1, 0, offsets, engines))

    def load(self) -> Position:
        try:
            state = checkpoint.load(self._path)
        except ReplayError:
            return Position()
        engines = {at: ENGINES.restore(one) for at, one in state.engines.items()}
        return Position(dict(state.next_offsets), engines)


async def replay_over(
    log: list[Record], tables: Tables, folder: Folder, killed_before: int | None = None
) -> None:
    position = folder.load()
    source = ListSource(log, position.next_offsets.get(0, 0), killed_before)
    # Each record is an hour of the clock: a checkpoint follows it.
    run = Run(SPAN, ENGINES, position, tables.apply, folder.save, lambda: source.now_s)
    await run.over(source, lambda _: None)


async def in_one_run(log: list[Record]) -> Tables:
    tables = Tables()
    run = Run(SPAN, ENGINES, Position(), tables.apply, lambda _: None)
    await run.over(ListSource(log), lambda _: None)
    return tables


@given(logs, st.integers(0, 20), st.booleans())
async def test_two_runs_with_a_kill_between_give_the_bytes_of_one(
    drawn: Drawn, at: int, while_saving: bool
) -> None:
    """Killed before a record, or with a record applied and no checkpoint of it written."""
    blocks = lay_out(drawn)
    log, tables = one_a_record(blocks), Tables()

    with TemporaryDirectory() as name:
        killed = Folder(Path(name), killed_at=at if while_saving else None)
        try:
            await replay_over(log, tables, killed, None if while_saving else at)
        except Killed:
            await replay_over(log, tables, Folder(Path(name)))

    assert tables == await in_one_run(log)
    assert tables.samples == last_values(blocks)
    assert tables.streamed.keys() | tables.marked >= {
        (60, series, time_ms // 60_000 * 60_000)
        for (series, time_ms), bits in tables.samples.items()
        if bits != STALE_BITS
    }


@given(logs, st.data())
async def test_any_grouping_into_records_gives_the_same_rows(
    drawn: Drawn, data: st.DataObject
) -> None:
    """A record of many blocks, or samples one by one: what is streamed for sure is the same."""
    blocks = lay_out(drawn)
    singles = [
        replace(
            block,
            series_ids=block.series_ids[at : at + 1],
            times_ms=block.times_ms[at : at + 1],
            values=block.values[at : at + 1],
        )
        for block in blocks
        for at in range(max(1, len(block)))
    ]
    grouped: list[Record] = []
    left = blocks
    while left:
        n = data.draw(st.integers(1, len(left)))
        payload = encode_samples(left[:n])
        grouped.append(Record(0, len(grouped), left[n - 1].receive_ms, payload))
        left = left[n:]

    one, few, many = [
        await in_one_run(log) for log in (one_a_record(blocks), grouped, one_a_record(singles))
    ]

    for other in (few, many):
        assert other.samples == one.samples
        both = one.sure().keys() & other.sure().keys()
        assert {key: one.streamed[key] for key in both} == {
            key: other.streamed[key] for key in both
        }
        # What one leaves to the store, the other may be sure of; none is forgotten by either.
        known = one.sure().keys() | one.marked
        assert other.sure().keys() <= known

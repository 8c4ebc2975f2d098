"""The window engine and a store together: all widths equal the samples, whatever happens."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.windows import Closed, PartitionWindows, WindowConfig
from schemas.checkpoints import WINDOWS, Checkpoint
from schemas.chunks import chunks_of, decode_chunk, newest_checkpoint, pack
from schemas.samples import (
    FINE_WINDOWS,
    REMAPPED,
    SKETCHES,
    STALE_MARKER_BITS,
    SampleBlock,
    tick,
)
from schemas.topics import partition_of
from tests.pipeline.model_store import MINUTE, ModelStore, assert_same

CONFIG = WindowConfig()
STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])
T0 = 1_800_000_000_000 - 600_000  # ten minutes before a full hour
FLAGS = SKETCHES | FINE_WINDOWS
WIDTHS = (10_000, MINUTE, 300_000, 3_600_000)
SERIES = (1, 2, 2**63 + 1, 2**64 - 1)

values = st.one_of(
    st.integers(0, 50).map(float),
    st.sampled_from([STALE, math.nan, -1.5, math.inf, 1e-300]),
    st.floats(-1e6, 1e6),
)
steps = st.one_of(st.integers(0, 20_000), st.integers(-900_000, 500_000))
records = st.lists(
    st.lists(st.tuples(st.sampled_from(SERIES), steps, values), max_size=6),
    min_size=1,
    max_size=25,
)
Drawn = list[list[tuple[int, int, float]]]


def lay_out(drawn: Drawn, flags: int = FLAGS) -> list[SampleBlock]:
    """Turn steps into blocks; an empty one is a tick after a pause."""
    now_ms, log = T0, []
    for record in drawn:
        now_ms += 8_000 if record else 90_000
        columns = list(zip(*record, strict=True)) or [(), (), ()]
        log.append(
            SampleBlock(
                "t" if record else "",
                now_ms,
                30,
                np.array(columns[0], np.uint64),
                now_ms + np.array(columns[1], np.int64),
                np.array(columns[2], np.float64),
                flags if record else 0,
            )
        )
    return log


def end_of(log: Sequence[SampleBlock]) -> SampleBlock:
    return tick(log[-1].receive_ms + 2 * 3_600_000)


def through_a_checkpoint(windows: PartitionWindows) -> PartitionWindows:
    chunks = chunks_of(WINDOWS, 0, 1, pack(Checkpoint(7, windows.snapshot())))
    found = newest_checkpoint(WINDOWS, [decode_chunk(WINDOWS, one) for _, one in chunks])
    assert found is not None
    return PartitionWindows(CONFIG, found[1].windows)


def assert_all_widths(store: ModelStore) -> None:
    for width_ms in WIDTHS:
        assert_same(store.rows.get(width_ms, {}), store.truth(width_ms))


@settings(deadline=None)
@given(records, st.integers(0, 25))
def test_all_widths_equal_the_samples_over_a_restart(drawn: Drawn, crash_at: int) -> None:
    """Late, repeated, stale, out of order, ahead of time: streamed, recomputed or coarsened."""
    log = lay_out(drawn)
    store, windows = ModelStore(), PartitionWindows(CONFIG)

    for at, one in enumerate([*log, end_of(log)]):
        if at == crash_at:
            windows = through_a_checkpoint(windows)
        store.insert(one)
        store.apply(windows.feed([one]))

    assert_all_widths(store)


@settings(deadline=None)
@given(records, st.integers(1, 25))
def test_an_engine_that_lost_its_state_leaves_windows_to_the_store(
    drawn: Drawn, lost_at: int
) -> None:
    """Begun in the middle of the log, it streams no row of whose samples it may not know all."""
    log = lay_out(drawn)
    store, windows = ModelStore(), PartitionWindows(CONFIG)

    for at, one in enumerate([*log, end_of(log)]):
        if at == lost_at:
            # The store has what was sent; open windows are forgotten.
            windows = PartitionWindows(CONFIG, starts_blind=True)
        store.insert(one)
        store.apply(windows.feed([one]))

    for width_ms in (10_000, MINUTE):
        truth = store.truth(width_ms)
        seen_ms = min((int(b.times_ms.min()) for b in log[lost_at:] if len(b)), default=None)
        got = store.rows.get(width_ms, {})
        assert all(got[key] == truth.get(key) or close(got[key], truth[key]) for key in got)
        if seen_ms is not None:
            later = {key for b in log[lost_at:] for key in keys_of(b, width_ms)}
            assert later & truth.keys() <= got.keys()


def close(one: tuple[bytes, tuple[int, ...]], other: tuple[bytes, tuple[int, ...]]) -> bool:
    assert_same({(0, 0): one}, {(0, 0): other})
    return True


def keys_of(block: SampleBlock, width_ms: int) -> set[tuple[int, int]]:
    starts = block.times_ms // width_ms * width_ms
    return set(zip(block.series_ids.tolist(), starts.tolist(), strict=True))


@settings(deadline=None)
@given(records, st.integers(5_000, 60_000))
def test_evicted_series_cost_a_computation_and_nothing_else(drawn: Drawn, max_bytes: int) -> None:
    log = lay_out(drawn)
    store, windows = ModelStore(), PartitionWindows(CONFIG, max_bytes=max_bytes)

    for one in [*log, end_of(log)]:
        store.insert(one)
        store.apply(windows.feed([one]))

    assert_all_widths(store)


def test_memory_stays_in_the_budget_and_the_evicted_are_counted() -> None:
    rng = np.random.default_rng(2)
    windows = PartitionWindows(CONFIG, max_bytes=150_000)
    store = ModelStore()
    blocks = [
        SampleBlock(
            *("t", T0 + at * 1000, 30, rng.integers(1, 2**64, 100, np.uint64)),
            *(np.full(100, T0 + at * 1000), rng.random(100), SKETCHES),
        )
        for at in range(20)
    ]

    for one in [*blocks, tick(T0 + 2 * 3_600_000)]:
        store.insert(one)
        store.apply(windows.feed([one]))
        assert windows.n_bytes() <= 150_000

    assert windows.n_evicted > 0
    assert_same(store.rows[MINUTE], store.truth(MINUTE))


@settings(deadline=None)
@given(records, st.integers(0, 24))
def test_series_that_move_to_other_partitions_keep_their_windows(
    drawn: Drawn, grown_at: int
) -> None:
    """One partition becomes two: both are blind for a while, and closes are for all series."""
    log = lay_out(drawn)
    store = ModelStore()
    engines = [PartitionWindows(CONFIG), PartitionWindows(CONFIG)]
    engines[0].feed([tick(T0, 1)])

    def feed(partition: int, block: SampleBlock) -> None:
        store.insert(block)
        store.apply(engines[partition].feed([block]), partition)

    for at, one in enumerate([*log, end_of(log)]):
        if at == grown_at:
            for partition in (0, 1):
                feed(partition, tick(one.receive_ms, 2, REMAPPED))
        n = 2 if at >= grown_at else 1
        home = partition_of(one.series_ids, n)
        for partition in range(n):
            if not len(one):
                feed(partition, replace(one, n_partitions=n))
            elif (home == partition).any():
                mine = home == partition
                columns = (one.series_ids[mine], one.times_ms[mine], one.values[mine])
                feed(partition, SampleBlock("t", one.receive_ms, 30, *columns, FLAGS, n))

    assert_all_widths(store)


@settings(deadline=None)
@given(records, st.lists(st.sampled_from([0, SKETCHES]), min_size=25, max_size=25))
def test_a_tenant_that_turns_sketches_on_and_off_has_whole_ones_or_none(
    drawn: Drawn, flags: list[int]
) -> None:
    log = [
        replace(one, flags=flag if len(one) else 0)
        for one, flag in zip(lay_out(drawn), flags, strict=False)
    ]
    store, windows = ModelStore(), PartitionWindows(CONFIG)

    for one in [*log, end_of(log)]:
        store.insert(one)
        store.apply(windows.feed([one]))

    truth = store.truth(MINUTE)
    got = store.rows.get(MINUTE, {})
    assert got.keys() == truth.keys()
    for key, (row, sketch) in got.items():
        close((row, ()), (truth[key][0], ()))
        assert sketch in {(), truth[key][1]}


def test_windows_of_ten_seconds_begin_and_end_with_the_flag() -> None:
    """Samples every 5 s for 40 minutes, fine from minute 5 to 10 and again from minute 15 on."""
    store, windows = ModelStore(), PartitionWindows(CONFIG)
    for at in range(480):
        time_ms = T0 + at * 5_000
        is_fine = 60 <= at < 120 or at >= 180
        ids, times = np.array([7], np.uint64), np.array([time_ms])
        flags = FLAGS if is_fine else SKETCHES
        one = SampleBlock("t", time_ms, 30, ids, times, np.array([float(at)]), flags)
        store.insert(one)
        store.apply(windows.feed([one]))
    store.apply(windows.feed([tick(T0 + 480 * 5_000 + 10**6)]))

    truth, got = store.truth(10_000), store.rows[10_000]
    starts = {(start - T0) // 10_000 for _, start in got}
    assert {*range(30, 60), *range(90, 240)} <= starts
    assert not starts & {*range(30), *range(61, 88)}
    assert all(close(got[key], truth[key]) for key in got)
    assert_same(store.rows[MINUTE], store.truth(MINUTE))


def closes_of(closed: Sequence[Closed]) -> list[tuple[int, int, int, int]]:
    return [
        (close.width_ms, close.from_ms - T0, close.until_ms - T0, close.n_partitions)
        for one in closed
        for close in one.closes
    ]


def test_closes_follow_the_minutes_over_each_multiple() -> None:
    """Time    0 ......... 5 min ........ 10 min = full hour
    5 min   [closed once 0..5 is)  [5..10 and the hour at once)

    The watermark began before the first sample, hence the empty one before it.
    """
    windows = PartitionWindows(CONFIG)
    minute = np.array([1], np.uint64), np.array([T0 + 1000]), np.array([1.0])
    first = SampleBlock("t", T0 + 1000, 30, *minute, SKETCHES, 4)

    closed = [
        windows.feed([one])
        for one in (first, tick(T0 + 309_999, 4), tick(T0 + 310_000, 4), tick(T0 + 610_000, 4))
    ]

    assert [closes_of(one) for one in closed] == [
        [],
        [(300_000, -300_000, 0, 4)],
        [(300_000, 0, 300_000, 4)],
        [(300_000, 300_000, 600_000, 4), (3_600_000, -3_000_000, 600_000, 4)],
    ]


@pytest.mark.parametrize("second", [2, 8])
def test_closes_are_for_all_series_up_to_the_hour_after_a_remap(second: int) -> None:
    windows = PartitionWindows(CONFIG)
    hour_ms = T0 + 600_000

    def at(time_ms: int, n_partitions: int) -> list[tuple[int, int, int, int]]:
        columns = np.array([1], np.uint64), np.array([time_ms]), np.array([1.0])
        block = SampleBlock("t", time_ms, 30, *columns, SKETCHES, n_partitions)
        return closes_of(windows.feed([block]))

    at(T0, 4)
    at(T0 + 1000, second)
    spread = at(hour_ms + 400_000, max(4, second))
    later = at(hour_ms + 3_600_000 + 1_000_000, max(4, second))

    assert {n for *_, n in spread} == {0}
    assert {n for *_, n in later} == {0}
    assert {n for *_, n in at(hour_ms + 7_600_000, max(4, second))} == {max(4, second)}


def test_a_bad_clock_harms_its_tenant_alone_in_every_width() -> None:
    windows = PartitionWindows(CONFIG)
    columns = np.array([1], np.uint64), np.array([T0]), np.array([1.0])
    windows.feed([SampleBlock("slow", T0, 30, *columns, FLAGS)])
    ahead = (columns[0], np.array([T0 + 500_000]), columns[2])

    closed = windows.feed([SampleBlock("fast", T0 + 500_000, 30, *ahead, FLAGS)])
    closed += windows.feed([SampleBlock("fast", T0 + 600_000, 30, *ahead, FLAGS)])

    assert {one.tenant for one in closed} <= {"fast"}

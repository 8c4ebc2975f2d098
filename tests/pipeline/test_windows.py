"""The window engine, by exact numbers and against the slow reference."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.windows import Closed, PartitionWindows, WindowConfig
from schemas.checkpoints import WINDOWS, Checkpoint
from schemas.chunks import chunks_of, decode_chunk, newest_checkpoint, pack
from schemas.samples import STALE_MARKER_BITS, SampleBlock, tick
from tests.reference import RollupRow, rollup_reference

MINUTE = 60_000
CONFIG = WindowConfig()
STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])

Sample = tuple[int, int, float]  # series id, time, value


def block(samples: Sequence[Sample], receive_ms: int, tenant: str = "t") -> SampleBlock:
    ids, times, values = zip(*samples, strict=True)
    return SampleBlock(
        tenant,
        receive_ms,
        30,
        np.array(ids, dtype=np.uint64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


def rows_of(closed: Sequence[Closed], width_ms: int = MINUTE) -> dict[tuple[int, int], RollupRow]:
    return {
        (int(row["series_id"]), int(row["window_ms"])): (
            int(row["count"]),
            float(row["sum"]),
            float(row["min"]),
            float(row["max"]),
            float(row["first"]),
            float(row["last"]),
            float(row["increase"]),
        )
        for one in closed
        if one.width_ms == width_ms
        for row in one.rows.rows
    }


def marks_of(closed: Sequence[Closed], width_ms: int = MINUTE) -> list[tuple[int, int]]:
    return [
        (series, start_ms)
        for one in closed
        if one.width_ms == width_ms
        for series, first_ms, last_ms in one.stretches.tolist()
        for start_ms in range(first_ms, last_ms + 1, width_ms)
    ]


def test_a_window_closes_when_the_watermark_has_passed_its_end() -> None:
    """Time  0s   20s   40s   60s      70s
    value  1    5     2   | 4   ...  the window [0, 60) closes at 60 + 10 s of lateness.
    """
    windows = PartitionWindows(CONFIG)
    samples = [(7, 0, 1.0), (7, 20_000, 5.0), (7, 40_000, 2.0), (7, 60_000, 4.0)]

    assert windows.feed([block(samples, 61_000)]) == []
    assert windows.feed([block([(7, 69_999, 4.5)], 70_000)]) == []
    closed = windows.feed([block([(7, 70_000, 5.0)], 70_000)])

    # increase: 1 -> 5 adds 4; 5 -> 2 is a reset and adds 2.
    assert rows_of(closed) == {(7, 0): (3, 8.0, 1.0, 5.0, 1.0, 2.0, 6.0)}
    assert marks_of(closed) == []


def test_increase_goes_on_across_windows_so_that_increases_add_up() -> None:
    windows = PartitionWindows(CONFIG)
    closed = windows.feed([block([(1, 50_000, 10.0), (1, 65_000, 13.0)], 65_000)])
    closed += windows.feed([tick(65_000 + 200_000)])

    rows = rows_of(closed)

    assert rows[1, 0][-1] == 0.0
    assert rows[1, MINUTE][-1] == 3.0


def test_a_predecessor_older_than_five_minutes_adds_nothing() -> None:
    windows = PartitionWindows(CONFIG)
    closed = windows.feed([block([(1, 0, 10.0), (1, 300_000, 13.0), (1, 600_001, 20.0)], 600_001)])
    closed += windows.feed([tick(10**6)])

    rows = rows_of(closed)

    assert rows[1, 300_000][-1] == 3.0
    assert rows[1, 600_000][-1] == 0.0


def test_a_stale_marker_is_left_out_and_ends_the_run() -> None:
    windows = PartitionWindows(CONFIG)
    samples = [(1, 0, 10.0), (1, 10_000, STALE), (1, 20_000, 30.0), (1, 70_000, STALE)]
    closed = windows.feed([block(samples, 70_000)]) + windows.feed([tick(10**6)])

    assert rows_of(closed) == {(1, 0): (2, 40.0, 10.0, 30.0, 10.0, 30.0, 0.0)}


def test_a_value_in_the_place_of_a_stale_marker_is_not_the_last_of_the_window_before() -> None:
    """Time  0s   | 65s       65s again
    value  1    | (stale)   9           `last` of [0, 60) stays 1; [60, 120) is marked.
    """
    windows = PartitionWindows(CONFIG)
    closed = windows.feed([block([(7, 0, 1.0), (7, 65_000, STALE), (7, 65_000, 9.0)], 66_000)])
    closed += windows.feed([block([(7, 130_000, 2.0)], 130_000)])

    assert rows_of(closed) == {(7, 0): (1, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)}
    assert marks_of(closed) == [(7, MINUTE)]


def test_a_silent_tenant_gets_the_time_from_ticks() -> None:
    windows = PartitionWindows(CONFIG)
    windows.feed([block([(1, 30_000, 1.0)], 30_000)])

    assert windows.feed([tick(44_999)]) == []
    assert windows.feed([tick(69_999)]) == []
    assert rows_of(windows.feed([tick(70_000)])) == {(1, 0): (1, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)}


def test_one_tenants_clock_does_not_close_anothers_windows() -> None:
    windows = PartitionWindows(CONFIG)
    windows.feed([block([(1, 30_000, 1.0)], 30_000, "slow")])

    closed = windows.feed([block([(2, 30_000, 1.0), (2, 500_000, 1.0)], 500_000, "fast")])

    assert [one.tenant for one in closed] == ["fast"]


def test_a_late_sample_is_marked_with_the_windows_that_its_increase_may_reach() -> None:
    windows = PartitionWindows(CONFIG)
    windows.feed([block([(1, 0, 1.0), (1, 20 * MINUTE, 2.0)], 20 * MINUTE)])

    marks = marks_of(windows.feed([block([(1, 5 * MINUTE, 9.0)], 20 * MINUTE)]))

    assert marks == [(1, minute * MINUTE) for minute in range(5, 11)]
    assert windows.take_late() == 1
    assert windows.take_late() == 0


def test_a_repeat_in_an_open_window_is_marked_when_that_window_closes() -> None:
    windows = PartitionWindows(CONFIG)
    assert windows.feed([block([(1, 10_000, 1.0), (1, 10_000, 2.0)], 10_000)]) == []

    closed = windows.feed([tick(10**6)])

    assert marks_of(closed) == [(1, 0)]


def test_silent_series_are_forgotten() -> None:
    """Memory follows the series that live, not those that ever did."""
    windows = PartitionWindows(CONFIG)
    for minute in range(100):
        samples = [(minute * 100 + i, minute * MINUTE, 1.0) for i in range(1, 101)]
        windows.feed([block(samples, minute * MINUTE)])

    assert windows.n_series() < 2000
    assert windows.n_bytes() < 2000 * 300


class Store:
    """Rows upserted by key, and windows recomputed from all samples stored so far."""

    def __init__(self) -> None:
        self.samples: dict[int, list[tuple[int, float]]] = {}
        self.rows: dict[tuple[int, int], RollupRow] = {}
        self.recomputed: set[tuple[int, int]] = set()

    def insert(self, samples: Sequence[Sample]) -> None:
        for series, time_ms, value in samples:
            self.samples.setdefault(series, []).append((time_ms, value))

    def apply(self, closed: Sequence[Closed]) -> None:
        for key, row in rows_of(closed).items():
            # A recomputed row has the higher version.
            if key not in self.recomputed:
                self.rows[key] = row
        for series, start_ms in marks_of(closed):
            truth = self.truth_of(series).get(start_ms)
            self.recomputed.add((series, start_ms))
            if truth is not None:
                self.rows[series, start_ms] = truth
            else:  # as when a stale marker took the place of the only sample
                self.rows.pop((series, start_ms), None)

    def truth_of(self, series: int) -> dict[int, RollupRow]:
        times, values = zip(*self.samples.get(series, [(0, STALE)]), strict=True)
        return rollup_reference(series, times, values, MINUTE)

    def truth(self) -> dict[tuple[int, int], RollupRow]:
        return {
            (series, start_ms): row
            for series in self.samples
            for start_ms, row in self.truth_of(series).items()
        }


def same(one: RollupRow, other: RollupRow) -> bool:
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-12)
        for a, b in zip(one, other, strict=True)
    )


values = st.one_of(st.integers(0, 50).map(float), st.sampled_from([STALE, math.nan, -1.5]))
# Half of the times move on, the others jump about, minutes back or ahead.
steps = st.one_of(st.integers(0, 20_000), st.integers(-900_000, 900_000))
records = st.lists(
    st.lists(st.tuples(st.integers(1, 3), steps, values), min_size=0, max_size=6),
    min_size=1,
    max_size=25,
)


def lay_out(drawn: list[list[tuple[int, int, float]]]) -> list[tuple[int, list[Sample]]]:
    """Turn steps into (receive time, samples); an empty record is a tick after a pause."""
    now_ms, log = 1_700_000_000_000, []
    for record in drawn:
        now_ms += 8_000 if record else 30_000
        log.append((now_ms, [(series, now_ms + step, value) for series, step, value in record]))
    return log


def run(log: list[tuple[int, list[Sample]]], crash_at: int | None = None) -> Store:
    store, windows = Store(), PartitionWindows(CONFIG)
    for at, (receive_ms, samples) in enumerate(log):
        if at == crash_at:
            packed = pack(Checkpoint(at, windows.snapshot()))
            chunks = chunks_of(WINDOWS, 0, 1, packed)
            found = newest_checkpoint(WINDOWS, [decode_chunk(WINDOWS, one) for _, one in chunks])
            assert found is not None
            windows = PartitionWindows(CONFIG, found[1].windows)
        store.insert(samples)
        store.apply(windows.feed([block(samples, receive_ms) if samples else tick(receive_ms)]))
    store.apply(windows.feed([tick(log[-1][0] + 10**7)]))
    return store


@settings(max_examples=200, deadline=None)
@given(records, st.integers(0, 25))
def test_a_rollup_equals_the_aggregate_of_the_samples_whatever_happens(
    drawn: list[list[tuple[int, int, float]]], crash_at: int
) -> None:
    """Late, repeated, stale, out of order, a restart in between: the table is the truth."""
    store = run(lay_out(drawn), crash_at)

    truth = store.truth()
    assert store.rows.keys() == truth.keys()
    for key, row in truth.items():
        assert same(store.rows[key], row), key


@settings(max_examples=50, deadline=None)
@given(records)
def test_how_samples_are_cut_into_records_does_not_matter(
    drawn: list[list[tuple[int, int, float]]],
) -> None:
    whole = lay_out(drawn)
    single = [(receive_ms, [sample]) for receive_ms, samples in whole for sample in samples] or [
        (whole[-1][0], [])
    ]

    one, other = run(whole), run(single)

    assert one.rows.keys() == other.rows.keys()
    assert all(same(one.rows[key], other.rows[key]) for key in one.rows)


@pytest.mark.parametrize("crash_at", [1, 30, 59])
def test_a_restart_from_a_checkpoint_gives_the_same_bytes(crash_at: int) -> None:
    rng = np.random.default_rng(3)
    log = [
        [(int(series), at * 10_000, float(rng.random())) for series in rng.permutation(200)[:150]]
        for at in range(60)
    ]

    def closed_rows(restart: bool) -> bytes:
        windows, out = PartitionWindows(CONFIG), b""
        for at, samples in enumerate(log):
            if restart and at == crash_at:
                windows = PartitionWindows(CONFIG, windows.snapshot())
            for one in windows.feed([block(samples, at * 10_000)]):
                out += one.rows.rows.tobytes()
        return out

    assert closed_rows(restart=True) == closed_rows(restart=False)

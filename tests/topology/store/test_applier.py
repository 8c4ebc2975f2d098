"""Engine and store together against the samples, in all widths, without Kafka."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rows import ROW
from schemas.samples import FINE_WINDOWS, SKETCHES, STALE_MARKER_BITS, SampleBlock, tick
from schemas.topics import Topic
from tests.pipeline.model_store import MINUTE, Key, ModelStore, assert_same
from tests.pipeline.test_engine import FLAGS, WIDTHS, Drawn, end_of, lay_out, records
from tests.topology.store.logs import TOPICS, Log, Store, stored
from tests.topology.store.rows import NOON_MS, new_tenant, read
from topology.store import coarse, recompute, stretch_parts
from topology.store.client import Engine

FIVE, HOUR, DAY = 5 * MINUTE, 60 * MINUTE, 1440 * MINUTE
STALE = float(np.array([STALE_MARKER_BITS]).view(np.float64)[0])

# Which topics are read, how many records of each, and after how many steps the store is killed.
rounds = st.lists(
    st.tuples(
        st.sets(st.sampled_from(TOPICS), min_size=1),
        st.integers(1, 30),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=6,
)


class World:
    """A log, the store that reads it, and the model of what the store must hold."""

    def __init__(self, engine: Engine, flags: int = FLAGS) -> None:
        self.tenant = new_tenant()
        self.log, self.model = Log(self.tenant), ModelStore()
        self.store = Store(engine, self.log)
        self._engine = engine
        self._flags = flags

    def write(self, block: SampleBlock) -> None:
        self.log.write(block)
        self.model.insert(block)

    def send(self, received_ms: int, samples: Sequence[tuple[int, int, float]]) -> None:
        """Write samples (series, time, value) in one record."""
        ids, times, values = zip(*samples, strict=True)
        columns = np.array(ids, np.uint64), np.array(times, np.int64), np.array(values, np.float64)
        self.write(SampleBlock("t", received_ms, 3650, *columns, self._flags))

    def scrape(self, until_ms: int, series: Sequence[int] = (1,), every_ms: int = 30_000) -> None:
        """Write one sample a series at each step of the two hours before until_ms."""
        for time_ms in range(until_ms - 2 * HOUR, until_ms, every_ms):
            self.send(time_ms, [(one, time_ms, float(time_ms % 97)) for one in series])

    def column(self, width_ms: int, name: str) -> dict[Key, float]:
        found = stored(self._engine, self.tenant, width_ms)
        return {key: float(np.frombuffer(row, ROW)[0][name]) for key, (row, _) in found.items()}

    def shows(self, series: int, minute_ms: int) -> bool:
        """Whether the relation has a series' window of a minute."""
        where = f"series_id = {series} AND toUnixTimestamp(window_start) = {minute_ms // 1000}"
        found = read(self._engine, self.tenant, f"SELECT width_s FROM rollups WHERE {where}")
        return (60,) in found

    def check(self) -> None:
        for width_ms in WIDTHS if self._flags & FINE_WINDOWS else WIDTHS[1:]:
            assert_same(stored(self._engine, self.tenant, width_ms), self.model.truth(width_ms))


@pytest.mark.slow
@pytest.mark.parametrize("are_small", [False, True])
@settings(max_examples=20)
@given(records, rounds)
def test_all_widths_equal_the_samples_however_the_topics_are_read(
    engine: Engine,
    are_small: bool,
    drawn: Drawn,
    drawn_rounds: list[tuple[set[Topic], int, int | None]],
) -> None:
    """Late, repeated, stale, out of order; one topic far ahead of others; kills between steps.

    With small limits each read is of a few rows only.
    """
    world = World(engine)
    blocks = lay_out(drawn)
    for block in [*blocks, end_of(blocks)]:
        world.write(block)

    with pytest.MonkeyPatch.context() as patch:
        if are_small:
            patch.setattr(coarse, "MAX_FINER_ROWS", 3)
            patch.setattr(recompute, "MAX_SAMPLES", 4)
            patch.setattr(stretch_parts, "MAX_WINDOWS", 5)
        for topics, n_records, n_steps in drawn_rounds:
            world.store.round([one for one in TOPICS if one in topics], n_records, n_steps)
        world.store.finish()

    world.check()


def test_late_samples_of_a_closed_hour_change_its_windows_of_all_widths(engine: Engine) -> None:
    """Time 08:00 ........ 09:00 .. 10:00 |  late: 100 at 08:17:15, and 08:20:00 again, now 200."""
    world = World(engine)
    world.scrape(NOON_MS + 2 * HOUR)
    world.write(tick(NOON_MS + 3 * HOUR))
    world.store.finish()
    before = {width: world.column(width, "max") for width in (MINUTE, FIVE, HOUR)}

    late = [(1, NOON_MS + 17 * MINUTE + 15_000, 100.0), (1, NOON_MS + 20 * MINUTE, 200.0)]
    world.send(NOON_MS + 3 * HOUR, late)
    world.write(tick(NOON_MS + 3 * HOUR + 5000))
    world.store.finish()

    after = {width: world.column(width, "max").items() - before[width].items() for width in before}
    changed = {
        width: {start - NOON_MS: value for (_, start), value in after[width]} for width in before
    }
    assert changed == {
        MINUTE: {17 * MINUTE: 100.0, 20 * MINUTE: 200.0},
        FIVE: {15 * MINUTE: 100.0, 20 * MINUTE: 200.0},
        HOUR: {0: 200.0},
    }
    world.check()


def test_windows_whose_only_sample_became_stale_are_gone_in_all_widths(engine: Engine) -> None:
    """Also for a store that reads the windows as streamed after it has computed them again."""
    world = World(engine)
    world.send(NOON_MS + 100, [(1, NOON_MS, 1.0), (2, NOON_MS, 1.0)])
    world.write(tick(NOON_MS + 2 * HOUR))
    world.store.finish()
    assert len(world.column(HOUR, "count")) == 2

    world.send(NOON_MS + 2 * HOUR, [(1, NOON_MS, STALE)])
    world.write(tick(NOON_MS + 2 * HOUR + 5000))
    world.store.finish()

    assert all(len(world.column(width, "count")) == 1 for width in WIDTHS)
    world.check()


def test_rows_streamed_again_after_a_crash_do_not_replace_computed_ones(engine: Engine) -> None:
    """The store is killed right after it has inserted everything a second time."""
    world = World(engine)
    world.scrape(NOON_MS + 2 * HOUR, every_ms=60_000)
    world.send(NOON_MS + 2 * HOUR, [(1, NOON_MS + 1, 500.0)])
    world.write(tick(NOON_MS + 3 * HOUR))
    world.store.finish()

    world.store.committed = dict.fromkeys(TOPICS, 0)
    world.store.restart()
    world.store.round(TOPICS, 10_000, n_steps=2)

    world.check()


def test_a_backfill_of_a_day_does_not_hold_up_live_windows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round computes a part of the day, and shows the minute that has closed meanwhile."""
    monkeypatch.setattr(stretch_parts, "MAX_WINDOWS", 1500)
    world = World(engine, SKETCHES)
    world.scrape(NOON_MS, every_ms=MINUTE)
    world.store.finish()
    day = [
        (series, NOON_MS - 2 * DAY + minute * MINUTE, float(minute))
        for series in range(10, 16)
        for minute in range(1440)
    ]
    world.send(NOON_MS, day)
    world.store.round(TOPICS, 10_000)
    n_rounds = 0

    while world.store.has_work():
        now_ms = NOON_MS + n_rounds * MINUTE
        world.send(now_ms, [(1, now_ms, 1.0)])
        world.write(tick(now_ms + MINUTE + 20_000))
        world.store.round(TOPICS, 10_000)
        assert world.shows(1, now_ms)
        n_rounds += 1

    assert n_rounds > 4
    world.write(tick(NOON_MS + 2 * HOUR))
    world.store.finish()
    for width in (MINUTE, FIVE, HOUR):
        assert sum(key[0] >= 10 for key in world.column(width, "count")) == 6 * DAY // width
    world.check()


def test_a_clock_that_was_set_back_does_not_hide_later_computations(engine: Engine) -> None:
    """The second store's clock is a day behind that of the first."""
    world = World(engine)
    world.scrape(NOON_MS + 2 * HOUR, every_ms=60_000)
    world.store.now_ms = NOON_MS + DAY
    world.send(NOON_MS + 2 * HOUR, [(1, NOON_MS + 1, 500.0)])
    world.write(tick(NOON_MS + 3 * HOUR))
    world.store.restart()
    world.store.finish()

    world.store.now_ms = NOON_MS
    world.store.restart()
    world.send(NOON_MS + 3 * HOUR, [(1, NOON_MS + 2, 600.0)])
    world.write(tick(NOON_MS + 4 * HOUR))
    world.store.finish()

    assert world.column(HOUR, "max")[1, NOON_MS] == 600.0
    world.check()

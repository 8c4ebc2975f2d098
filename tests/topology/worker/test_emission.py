"""Records of what the engine closed: lanes, sizes, order."""

from collections.abc import Sequence

import numpy as np

from pipeline.rows import ROW, Rows
from pipeline.stretches import stretches_of
from pipeline.windows import Close, Closed
from schemas.rollups import CloseBlock, RecomputeBlock, RollupBlock, decode_rollups
from schemas.topics import ALL_SERIES, Topic, series_range
from topology.producer import MAX_RECORD_BYTES
from topology.worker import emission
from topology.worker.emission import records_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
T0 = 1_800_000_000_000  # a full hour, eight after midnight


def closed(
    n_rows: int = 0,
    n_entries: int = 0,
    stretches: Sequence[tuple[int, int, int]] = (),
    closes: tuple[Close, ...] = (),
) -> Closed:
    """Return what minutes up to T0 + 10 min gave."""
    rows = np.zeros(n_rows, dtype=ROW)
    rows["window_ms"], rows["series_id"] = T0, np.arange(n_rows)
    rows["sum"] = rows["min"] = np.random.default_rng(1).random(n_rows)
    entries = np.arange(1, n_rows * n_entries + 1, dtype=np.uint32) | np.uint32(1)
    columns = [np.array([one[at] for one in stretches], np.int64) for at in range(3)]
    return Closed(
        *("t", 30, T0 + 700_000, MINUTE, 1, T0 + 10 * MINUTE),
        Rows(rows, np.full(n_rows, n_entries, np.uint32), entries),
        stretches_of(columns[0].astype(np.uint64), columns[1], columns[2]),
        closes,
    )


def test_rows_keep_their_sketches_over_records_of_a_bounded_size() -> None:
    one = closed(n_rows=30_000, n_entries=50)

    records = [record for _, record in records_of([one], 0, 5)]
    blocks = [block for record in records for block in decode_rollups(record)]

    assert max(map(len, records)) < MAX_RECORD_BYTES
    got = [block for block in blocks if isinstance(block, RollupBlock)]
    assert len(got) == len(blocks)
    ids = np.concatenate([block.series_ids for block in got])
    np.testing.assert_array_equal(ids, np.arange(30_000))
    sketch = np.concatenate([block.sketch for block in got])
    np.testing.assert_array_equal(sketch, one.rows.sketch)
    assert all(len(block.sketch) == 50 * len(block) for block in got)


def test_a_row_of_the_largest_sketch_fits_a_record() -> None:
    records = [record for _, record in records_of([closed(n_rows=60, n_entries=4096)], 0, 5)]

    assert max(map(len, records)) < MAX_RECORD_BYTES


def test_what_begins_before_the_hour_goes_to_the_backfill_lane() -> None:
    """A stretch over the hour is cut there, and one over midnight at midnight."""
    midnight = T0 // DAY * DAY
    one = closed(
        stretches=[
            (1, midnight - 2 * MINUTE, midnight + MINUTE),
            (2, T0 - MINUTE, T0 + 2 * MINUTE),
            (3, T0 + MINUTE, T0 + MINUTE),
        ]
    )

    found = [
        (topic, *stretch)
        for topic, record in records_of([one], 3, 77)
        for block in decode_rollups(record)
        if isinstance(block, RecomputeBlock)
        and (block.samples_partition, block.samples_offset, block.flags) == (3, 77, 1)
        and block.closed_until_ms == T0 + 10 * MINUTE
        for stretch in zip(
            block.series_ids.tolist(), block.first_ms.tolist(), block.last_ms.tolist(), strict=True
        )
    ]

    old = emission.BACKFILL_LANE
    assert found == [
        (old, 1, midnight - 2 * MINUTE, midnight - MINUTE),
        (old, 1, midnight, midnight + MINUTE),
        (old, 2, T0 - MINUTE, T0 - MINUTE),
        (Topic.ROLLUPS, 2, T0, T0 + 2 * MINUTE),
        (Topic.ROLLUPS, 3, T0 + MINUTE, T0 + MINUTE),
    ]


def test_a_backfill_of_days_comes_in_records_of_bounded_work() -> None:
    one = closed(stretches=[(series, T0 - 3 * DAY, T0 - MINUTE) for series in range(100)])

    blocks = [block for _, record in records_of([one], 0, 1) for block in decode_rollups(record)]

    marks = [block for block in blocks if isinstance(block, RecomputeBlock)]
    assert sum(block.n_windows() for block in marks) == 100 * 3 * 1440
    assert max(block.n_windows() for block in marks) <= 52_000


def test_closes_come_last_and_name_the_partitions_series() -> None:
    closes = (Close(300_000, T0, T0 + 600_000, 4), Close(HOUR, T0 - HOUR, T0, 0))

    records = list(records_of([closed(n_rows=1, closes=closes)], 2, 1))
    blocks = [block for _, record in records for block in decode_rollups(record)]

    assert {topic for topic, _ in records} == {Topic.ROLLUPS}
    head = ("t", T0 + 700_000, 30)
    assert isinstance(blocks[0], RollupBlock)
    assert blocks[1:] == [
        CloseBlock(*head, 300, *series_range(2, 4), T0, T0 + 600_000),
        CloseBlock(*head, 3600, *ALL_SERIES, T0 - HOUR, T0),
    ]


def test_tenants_that_close_together_share_a_record_and_marks_do_not() -> None:
    closes = (Close(300_000, T0, T0 + 300_000, 4),)
    several = [closed(n_rows=2, closes=closes) for _ in range(50)]
    late = closed(n_rows=1, stretches=[(1, T0, T0)])

    records = list(records_of([*several, late, *several], 2, 1))

    blocks = [[type(block) for block in decode_rollups(record)] for _, record in records]
    together = [RollupBlock, CloseBlock] * 50
    assert blocks == [[*together, RollupBlock], [RecomputeBlock], together]


def test_no_record_grows_with_the_number_of_tenants() -> None:
    several = [closed(n_rows=100, n_entries=20) for _ in range(500)]

    records = [record for _, record in records_of(several, 2, 1)]

    assert 1 < len(records) < 20
    assert max(map(len, records)) < MAX_RECORD_BYTES
    blocks = [block for one in records for block in decode_rollups(one)]
    assert sum(len(block) for block in blocks if isinstance(block, RollupBlock)) == 50_000

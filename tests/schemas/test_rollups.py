"""The records of topics `rollups` and `recompute`."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.block import Header, Kind, pack_integers, pack_plain, write_block
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.rollups import (
    FLOAT_COLUMNS,
    CloseBlock,
    RecomputeBlock,
    RollupBlock,
    decode_rollups,
    encode_rollups,
)
from tests.strategies import times_ms


@st.composite
def rollup_blocks(draw: st.DrawFn) -> RollupBlock:
    n = draw(st.integers(0, 10))
    lengths = draw(hnp.arrays(np.uint32, n, elements=st.integers(0, 5)))
    columns: tuple[Any, ...] = (
        draw(hnp.arrays(np.int64, n, elements=times_ms)),
        draw(hnp.arrays(np.uint64, n)),
        draw(hnp.arrays(np.uint32, n)),
        *draw(hnp.arrays(np.float64, (6, n))),
        lengths,
        draw(hnp.arrays(np.uint32, int(lengths.sum()), elements=st.integers(1, 2**14 - 1))),
    )
    return RollupBlock("t", 7, 30, 60, *columns)


@st.composite
def recompute_blocks(draw: st.DrawFn) -> RecomputeBlock:
    n = draw(st.integers(0, 10))
    first_ms = draw(hnp.arrays(np.int64, n, elements=times_ms))
    return RecomputeBlock(
        *("t", 7, 30, 10, 3, 5, 2**40, -(1 << 62)),
        draw(hnp.arrays(np.uint64, n)),
        first_ms,
        first_ms + draw(hnp.arrays(np.int64, n, elements=st.integers(0, 86_400_000))),
    )


CLOSE = CloseBlock("t", 7, 30, 3600, 1 << 62, (1 << 64) - 1, 0, 3_600_000)


@given(rollup_blocks(), recompute_blocks())
def test_what_is_encoded_is_decoded_bit_by_bit(rows: RollupBlock, marks: RecomputeBlock) -> None:
    got_rows, got_marks, got_close = decode_rollups(encode_rollups([rows, marks, CLOSE]))

    assert isinstance(got_rows, RollupBlock)
    assert isinstance(got_marks, RecomputeBlock)
    assert got_close == CLOSE
    columns = ("window_starts_ms", "series_ids", "counts", "sketch_lengths", "sketch")
    for name in (*columns, *FLOAT_COLUMNS):
        assert getattr(got_rows, name).tobytes() == getattr(rows, name).tobytes(), name
    fields = ("width_s", "flags", "samples_partition", "samples_offset", "closed_until_ms")
    for name in fields:
        assert getattr(got_marks, name) == getattr(marks, name), name
    for name in ("series_ids", "first_ms", "last_ms"):
        np.testing.assert_array_equal(getattr(got_marks, name), getattr(marks, name))


def test_a_stretch_counts_its_first_and_its_last_window() -> None:
    ids, first_ms = np.array([1, 2], np.uint64), np.array([60_000, 0])

    stretches = RecomputeBlock("t", 7, 30, 60, 0, 0, 0, 0, ids, first_ms, np.array([60_000] * 2))

    assert stretches.n_windows() == 3


def _version_1(kind: Kind, columns: list[bytes]) -> bytes:
    record = bytearray(write_block(Header(kind, "t", 7, 30, 2), columns))
    record[3] = 1
    return bytes(record)


def test_rows_of_version_1_have_no_sketches() -> None:
    ids = np.array([1, 2], np.uint64)
    columns = [pack_plain(np.array([60]), "<u4"), pack_integers(np.array([0, 60_000]))]
    columns += [pack_plain(ids, "<u8"), pack_integers(np.array([3, 4]))]
    floats = [b"\x01" + np.float64(at).tobytes() for at in range(6)]

    (rows,) = decode_rollups(_version_1(Kind.ROLLUPS, columns + floats))

    assert isinstance(rows, RollupBlock)
    assert rows.counts.tolist() == [3, 4]
    assert rows.increases.tolist() == [5.0, 5.0]
    assert (rows.sketch_lengths.tolist(), len(rows.sketch)) == ([0, 0], 0)


def test_marks_of_version_1_are_stretches_of_one_window() -> None:
    columns = [pack_plain(np.array([60]), "<u4"), pack_integers(np.array([0, 60_000]))]
    columns += [pack_plain(np.array([1, 2]), "<u8"), pack_plain(np.array([3]), "<u4")]

    (marks,) = decode_rollups(
        _version_1(Kind.RECOMPUTE, [*columns, pack_plain(np.array([9]), "<i8")])
    )

    assert isinstance(marks, RecomputeBlock)
    assert (marks.samples_partition, marks.samples_offset, marks.flags) == (3, 9, 0)
    assert marks.first_ms.tolist() == marks.last_ms.tolist() == [0, 60_000]


@given(rollup_blocks(), recompute_blocks(), st.data())
def test_no_bytes_break_the_decoder(
    rows: RollupBlock, marks: RecomputeBlock, data: st.DataObject
) -> None:
    """Whatever comes is decoded or refused, and nothing else happens."""
    record = bytearray(encode_rollups([rows, marks, CLOSE]))
    for _ in range(3):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))

    with contextlib.suppress(InvalidRecord, UnknownVersion):
        decode_rollups(bytes(record))


@pytest.mark.parametrize(
    ("lengths", "entries", "reason"),
    [
        ([2, 0], [1], "longer than its block"),
        ([1, 0], [1 << 14], "counts no samples"),
        ([1, 0], [1, 1], "after the last column"),
    ],
)
def test_a_sketch_that_cannot_be_is_refused(
    lengths: list[int], entries: list[int], reason: str
) -> None:
    ids, ones = np.array([1, 2], np.uint64), np.ones(2)
    block = RollupBlock(
        *("t", 7, 30, 60, np.zeros(2, np.int64), ids, ids.astype(np.uint32)),
        *(ones, ones, ones, ones, ones, ones),
        np.array(lengths, np.uint32),
        np.array(entries, np.uint32),
    )

    with pytest.raises(InvalidRecord, match=reason):
        decode_rollups(encode_rollups([block]))

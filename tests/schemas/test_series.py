"""The record of topic `series`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidRecord
from schemas.series import (
    Announcement,
    MetricType,
    decode_series,
    decode_series_ids,
    encode_series,
    series_block,
)
from tests.strategies import labels


@given(st.lists(st.tuples(labels, st.sampled_from(MetricType), st.text(max_size=5)), max_size=6))
def test_labels_types_and_units_survive(
    series: list[tuple[dict[str, str], MetricType, str]],
) -> None:
    announcements = [Announcement(at, *one) for at, one in enumerate(series)]

    block = decode_series(encode_series([series_block("t", 5, 30, announcements)]))[0]

    assert block.labels() == [one.labels for one in announcements]
    assert block.types.tolist() == [one.type for one in announcements]
    assert block.units == [one.unit for one in announcements]
    assert block.series_ids.tolist() == list(range(len(series)))
    (told,) = decode_series_ids(encode_series([block]))
    assert (told.tenant, told.receive_ms) == ("t", 5)
    assert told.series_ids.tolist() == block.series_ids.tolist()


def test_labels_stand_sorted_by_name() -> None:
    block = series_block("t", 1, 30, [Announcement(1, {"b": "1", "__name__": "m", "a": "2"})])

    assert block.text == b"__name__m" + b"a2" + b"b1"


def test_text_that_is_not_utf8_is_refused() -> None:
    block = series_block("t", 1, 30, [Announcement(1, {"a": "xy"})])
    record = encode_series([block]).replace(b"axy", b"a\xff\xff")

    with pytest.raises(InvalidRecord, match="not UTF-8"):
        decode_series(record)


def test_lengths_beyond_the_record_are_refused() -> None:
    block = series_block("t", 1, 30, [Announcement(1, {"a": "xy"})])
    long = np.array([1, 2**32 - 1], dtype=np.uint32)

    record = encode_series([block]).replace(block.lengths.tobytes(), long.tobytes())

    with pytest.raises(InvalidRecord, match="bytes early"):
        decode_series(record)

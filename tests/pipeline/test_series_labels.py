"""Labels of new series, compiled, against the plain way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.admission import Limits, find_fault
from pipeline.decoded import LabelTable
from pipeline.remote_write import decode_write_request
from pipeline.series_labels import are_plain, lay_out, take
from schemas.series import Announcement, SeriesBlock, series_block
from tests.vectors.remote_write import write_request

LIMITS = Limits(max_labels=4, max_label_bytes=12, max_future_ms=0, retention_ms=0)

names = st.one_of(
    st.sampled_from(["__name__", "a", "b", "a.b", "é", "", "1a", "a:b", ":a", "a b", "x" * 13]),
    st.text("ab_:./-1", max_size=4),
)
values = st.one_of(
    st.sampled_from(["", "up", "1x", "a b", "é", "y" * 12, "y" * 13]), st.text(max_size=5)
)
label_sets = st.lists(st.tuples(names, values), max_size=6)


def wire(label_sets_of: list[list[tuple[str, str]]]) -> bytes:
    """Return a request with these labels in this order, repeats and empty values included."""
    whole = b""
    for labels in label_sets_of:
        series = b""
        for label in labels:
            inner = b"".join(
                bytes([tag, len(text.encode())]) + text.encode()
                for tag, text in zip((0x0A, 0x12), label, strict=True)
            )
            series += b"\x0a" + bytes([len(inner)]) + inner
        whole += b"\x0a" + bytes([len(series) & 0x7F | 0x80, len(series) >> 7]) + series
    return whole


def table_of(body: bytes) -> LabelTable:
    """Return the labels of all series of a request."""
    decoded = decode_write_request(np.frombuffer(body, dtype=np.uint8), np.uint64(1)).samples
    return decoded.labels_of(np.arange(len(decoded.series_ids)))


@given(st.lists(label_sets, max_size=5))
def test_what_passes_as_plain_is_what_the_plain_way_takes(
    sets: list[list[tuple[str, str]]],
) -> None:
    """Never more than find_fault takes; less only where it is not sorted ASCII."""
    table = table_of(wire(sets))

    plain = are_plain(table, LIMITS)

    for row, (is_plain, sent) in enumerate(zip(plain.tolist(), sets, strict=True)):
        labels = table.labels(row)
        is_sound = find_fault(labels, LIMITS) is None
        is_simple = labels == sorted(labels) and all(
            value and "".join((name, value)).isascii() for name, value in sent
        )
        assert is_plain == (is_sound and is_simple), labels


def test_plain_labels_are_laid_out_as_announced_ones_are() -> None:
    sets = [{"__name__": f"m{i}", "host": f"h{i % 3}", "z": "1" * (i % 4 + 1)} for i in range(20)]
    rows = np.array([3, 0, 19])
    expected = series_block("t", 1, 2, [Announcement(1, sets[row]) for row in rows.tolist()])

    counts, lengths, text = lay_out(table_of(write_request(sets, [[(1, 1.0)]] * 20)), rows)

    assert counts.tolist() == expected.label_counts.tolist()
    assert lengths.tolist() == expected.lengths.tolist()
    assert text == expected.text


@given(st.lists(st.dictionaries(names, values, max_size=4), max_size=6), st.data())
def test_rows_are_taken_with_their_labels(sets: list[dict[str, str]], data: st.DataObject) -> None:
    units = [f"u{i}" for i in range(len(sets))]
    announced = [Announcement(i, of, unit=units[i]) for i, of in enumerate(sets)]
    block = series_block("t", 1, 2, announced)
    rows = data.draw(st.lists(st.integers(0, len(sets) - 1), max_size=8)) if sets else []

    taken = take(block, np.array(rows, dtype=np.int64))

    assert isinstance(taken, SeriesBlock)
    assert taken.series_ids.tolist() == rows
    assert taken.labels() == [block.labels()[row] for row in rows]
    assert taken.units == [units[row] for row in rows]

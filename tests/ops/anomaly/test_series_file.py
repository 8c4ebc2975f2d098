"""Series read from files as people have them."""

from pathlib import Path

import numpy as np
import pytest

from ops.anomaly.series_file import BadSeriesFile, SeriesFile, read_pieces, read_series
from ops.anomaly.series_times import parse_time_s

MIDNIGHT_S = 1_767_225_600.0  # 2026-01-01 00:00 UTC


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("2026-01-01", 0),
        ("20260101", 0),
        ("2026-01", 0),
        ("2026-001", 0),
        ("2026-W01-4", 0),
        ("2026-01-01 00:05:00", 300),
        ("2026-01-01 00:05", 300),
        ("2026-01-01T00:05:00Z", 300),
        ("2026-01-01t00:05:00z", 300),
        ("2026-01-01 00:05:00 UTC", 300),
        ("2026-01-01 01:05:00 +0100", 300),
        ("2026-01-01 01:05:00+01", 300),
        ("2025-12-31T19:05:00-05:00", 300),
        ("2026-01-01T01:00:00.5+01:00", 0.5),
        ("2026-01-01T00:00:00,25", 0.25),
        ("2026-01-01T00:00:00.123456789Z", 0.123456),
        ("2025-12-31T24:00:00Z", 0),
        ("2025-365T24:00", 0),
        ("20260101T000500Z", 300),
        ("1767225600", 0),
        ("1767225600.25", 0.25),
        ("1.7672256e9", 0),
        ("1767225600250", 0.25),
        ("1767225600250000", 0.25),
        ("1767225600250000000", 0.25),
    ],
)
def test_times_in_any_iso_form_or_epoch(text: str, time_s: float) -> None:
    assert parse_time_s(text) - MIDNIGHT_S == pytest.approx(time_s, abs=1e-4)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "nan", "inf", "2026-13-01", "2026-01-01T24:01", "2026-01-01T25:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time_s(text)


def written(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "a.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(file: Path, n_rows: int = 1000) -> tuple[list[SeriesFile], list[str]]:
    """Return the pieces of a file, and what is said of it, its name left out."""
    said: list[str] = []
    pieces = list(read_pieces(file, said.append, n_rows))
    return pieces, [text.removeprefix(str(file)) for text in said]


def test_further_columns_and_missing_values(tmp_path: Path) -> None:
    head = '\ufeff"TimeStamp","Value","Label"\r\n'
    rows = '"2026-01-01T00:00:00Z", 1.5 ,0\r\n0,,1\r\n\r\n5,NULL,1'

    series = read_series(written(tmp_path, head + rows))

    assert series.texts == ["1.5", "", "NULL"]
    np.testing.assert_array_equal(series.times_s, [MIDNIGHT_S, 0, 5])
    np.testing.assert_array_equal(series.values, [1.5, np.nan, np.nan])


def test_a_bad_row_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    content = "time,value\n1,2\n3\n4,five\nsoon,6\n7,8\n9,1e\n11,12\n"

    (series,), said = read(written(tmp_path, content))

    assert series.is_bad.tolist() == [False, True, True, True, False, True, False]
    assert (series.times[2], series.texts[2]) == ("4", "five")
    assert series.values[~series.is_bad].tolist() == [2, 8, 12]
    assert said[0].startswith(", line 3: '3' is no time,value (one column), and gets no score")
    assert said[1].startswith(", line 4: '4,five' is no time,value (could not convert")
    assert said[2].startswith(", line 5: 'soon,6' is no time,value (Invalid isoformat")
    assert said[3:] == [": 1 more rows that are no time,value"]
    with pytest.raises(BadSeriesFile, match="line 3: '3'"):
        read_series(tmp_path / "a.csv")


def test_a_number_has_no_underscores(tmp_path: Path) -> None:
    """In Python it may, and 1_000 is more likely a mistake than a thousand."""
    (series,), said = read(written(tmp_path, "time,value\n1,1_000\n2_0,3\n3,4\n"))

    assert series.is_bad.tolist() == [True, True, False]
    assert said[0].startswith(", line 2: '1,1_000' is no time,value (could not convert '1_000')")
    assert said[1].startswith(", line 3: '2_0,3' is no time,value")


@pytest.mark.parametrize("first", ["2026-01-01T00:00:00Z,1", "0,1", "5,", "5,one"])
def test_a_file_without_header_keeps_its_first_row(tmp_path: Path, first: str) -> None:
    (series,), said = read(written(tmp_path, f"{first}\n1767225660,2\n"))

    assert [*series.times] == [first.partition(",")[0], "1767225660"]
    assert said[0] == ": no header; its first row is taken as data"


@pytest.mark.parametrize("content", ["", "\n\n", "time,value\n", "\ufefftime,value"])
def test_no_rows_are_said(tmp_path: Path, content: str) -> None:
    pieces, said = read(written(tmp_path, content))

    assert pieces == []
    assert said == [": no rows; a header and rows of time,value are needed"]
    with pytest.raises(BadSeriesFile, match="no rows"):
        read_series(tmp_path / "a.csv")


def test_rows_out_of_order_and_repeated_are_kept_and_said(tmp_path: Path) -> None:
    (series,), said = read(written(tmp_path, "t,v\n10,1\n20,2\n20,3\n15,4\n30,5\n"))

    assert series.values.tolist() == [1, 2, 3, 4, 5]
    assert said == [
        ": 2 rows are no later than the one before them; all are judged in the order of the file"
    ]


@pytest.mark.parametrize(
    ("rows", "values", "bad"),
    [
        ('1,2,"two\nlines, and ""quotes"""\n3,4,x\n', [2, 4], []),
        ('1,2,"never closed\n3,4,x\n5,6,x\n', [2, 4, 6], []),
        ('1,2,x\n"3,4\n5,6,x\n', [2, 6], [", line 3: '3,4\\n'"]),
    ],
)
def test_texts_in_quotes_may_have_lines(
    tmp_path: Path, rows: str, values: list[float], bad: list[str]
) -> None:
    """And one that nobody closes costs no more than its own line."""
    (series,), said = read(written(tmp_path, "t,v,note\n" + rows))

    assert series.values[~series.is_bad].tolist() == values
    assert [text.partition(" is")[0] for text in said] == bad


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path: Path) -> None:
    (series,), _ = read(written(tmp_path, b"t,v,l\n1,2,\xff\xfe\n3,\xff4,\n5,6,\x00\n"))

    assert series.is_bad.tolist() == [False, True, False]
    assert series.texts[1].encode(errors="surrogateescape") == b"\xff4"


@pytest.mark.parametrize(("n", "at_once"), [(0, 1), (1, 1), (6, 3), (7, 3), (7, 10)])
def test_a_file_in_pieces_is_the_file(tmp_path: Path, n: int, at_once: int) -> None:
    rows = [f"{at},{at * 2}\n" if at % 3 else f"{at}\n" for at in range(n)]

    pieces, _ = read(written(tmp_path, "t,v\n" + "".join(rows)), at_once)

    assert [time for piece in pieces for time in piece.times] == [str(at) for at in range(n)]
    assert [len(piece.times) for piece in pieces[:-1]] == [at_once] * (len(pieces) - 1)

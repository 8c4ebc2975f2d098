"""Series read from files as people have them."""

from pathlib import Path

import numpy as np
import pytest

from ops.anomaly.series_file import BadSeriesFile, parse_time_s, read_series

MIDNIGHT_S = 1_767_225_600.0  # 2026-01-01 00:00 UTC


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("2026-01-01", 0),
        ("20260101", 0),
        ("2026-01-01 00:05:00", 300),
        ("2026-01-01T00:05:00Z", 300),
        ("2026-01-01T01:00:00.5+01:00", 0.5),
        ("20260101T000500Z", 300),
        ("1767225600", 0),
        ("1767225600.25", 0.25),
        ("1767225600250", 0.25),
        ("1767225600250000", 0.25),
        ("1767225600250000000", 0.25),
    ],
)
def test_times_in_any_iso_form_or_epoch(text: str, time_s: float) -> None:
    assert parse_time_s(text) - MIDNIGHT_S == pytest.approx(time_s, abs=1e-4)


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time_s(text)


def test_further_columns_and_missing_values(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        '﻿"TimeStamp","Value","Label"\n"2026-01-01T00:00:00Z", 1.5 ,0\n0,,1\n\n5,nan,1\n'
    )

    series = read_series(file)

    assert series.texts == ["1.5", "", "nan"]
    np.testing.assert_array_equal(series.times_s, [MIDNIGHT_S, 0, 5])
    np.testing.assert_array_equal(series.values, [1.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; a header"),
        ("time,value\n1,2\n3\n", "line 3: '3' is no time,value"),
        ("time,value\n1,two\n", "line 2: '1,two' is no time,value"),
        ("time,value\nsoon,2\n", "line 2: 'soon,2'"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)

    with pytest.raises(BadSeriesFile, match=words) as caught:
        read_series(file)

    assert str(file) in str(caught.value)

"""`observai anomaly backtest DATA_DIR OUT_DIR`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ops.anomaly.backtest_files import COLUMNS, backtest_files
from ops.anomaly.series_file import BadSeriesFile
from ops.cli.app import app

START_S = 1_767_225_600


def write_series(path: Path, values: list[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{START_S + 300 * row},{value!r},0\n" for row, value in enumerate(values)]
    path.write_text("time,value,label\n" + "".join(rows))


def noise(n: int) -> list[float]:
    values = 100 + np.random.default_rng(2).standard_normal(n)
    return [float(value) for value in values]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["anomaly", "backtest", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_row_of_each_file_gets_its_scores(tmp_path: Path) -> None:
    values = noise(600)
    values[500] = 200.0
    write_series(tmp_path / "data/a/one.csv", values)
    write_series(tmp_path / "data/two.csv", noise(200))

    said = run(tmp_path / "data", tmp_path / "out")

    assert said.startswith("2 files, 800 windows, 1 alarms")
    with (tmp_path / "out/a/one.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["timestamp"] for row in rows] == [str(START_S + 300 * at) for at in range(600)]
    assert [row["value"] for row in rows] == [repr(value) for value in values]
    assert [at for at, row in enumerate(rows) if float(row["anomaly_score"]) > 1] == [500]
    assert float(rows[500]["lower"]) < float(rows[500]["upper"]) < 200
    assert len((tmp_path / "out/two.csv").read_text().splitlines()) == 201


def test_scores_of_a_prefix_are_a_prefix_of_the_scores(tmp_path: Path) -> None:
    """Nothing is known of later rows: not how many there are, nor their range."""
    values = noise(900)
    values[300], values[800] = 150.0, 1e6
    write_series(tmp_path / "data/whole.csv", values)
    write_series(tmp_path / "data/prefix.csv", values[:500])

    run(tmp_path / "data", tmp_path / "out")

    whole = (tmp_path / "out/whole.csv").read_text().splitlines()
    assert (tmp_path / "out/prefix.csv").read_text().splitlines() == whole[:501]


def test_scores_do_not_replace_data_and_are_not_scored(tmp_path: Path) -> None:
    write_series(tmp_path / "data/one.csv", noise(10))

    same = CliRunner().invoke(
        app, ["anomaly", "backtest", str(tmp_path / "data"), str(tmp_path / "data")]
    )
    run(tmp_path / "data", tmp_path / "data/out")
    again = run(tmp_path / "data", tmp_path / "data/out")

    assert same.exit_code != 0
    assert again.startswith("1 files, 10 windows")


def test_data_below_the_scores_is_scored_but_never_replaced(tmp_path: Path) -> None:
    write_series(tmp_path / "all/data/one.csv", noise(10))
    write_series(tmp_path / "all/data/deep/er/two.csv", noise(10))
    write_series(tmp_path / "all/in/x.csv", noise(10))
    write_series(tmp_path / "all/in/in/x.csv", noise(10))

    assert run(tmp_path / "all/data", tmp_path / "all").startswith("2 files")
    assert (tmp_path / "all/deep/er/two.csv").exists()
    replaced = CliRunner().invoke(
        app, ["anomaly", "backtest", str(tmp_path / "all/in"), str(tmp_path / "all")]
    )
    assert isinstance(replaced.exception, BadSeriesFile)
    assert "would replace data" in str(replaced.exception)


def test_a_bad_row_has_a_row_without_score_and_changes_no_other(tmp_path: Path) -> None:
    values = noise(400)
    write_series(tmp_path / "data/good.csv", values)
    lines = (tmp_path / "data/good.csv").read_text().splitlines(keepends=True)
    (tmp_path / "data/bad.csv").write_text("".join([*lines[:300], "oops, 3\n", *lines[300:]]))
    (tmp_path / "data/empty.csv").write_text("")

    result = CliRunner().invoke(
        app, ["anomaly", "backtest", str(tmp_path / "data"), str(tmp_path / "out")]
    )

    assert result.exit_code == 0
    assert "3 files, 801 windows, 0 alarms, 1 rows without a score" in result.stdout
    assert "bad.csv, line 301: 'oops, 3' is no time,value" in result.stderr
    good = (tmp_path / "out/good.csv").read_text().splitlines()
    bad = (tmp_path / "out/bad.csv").read_text().splitlines()
    assert bad.pop(300) == "oops,3,,,,,"
    assert bad == good
    assert (tmp_path / "out/empty.csv").read_text().splitlines() == [",".join(COLUMNS)]


def test_a_file_in_pieces_scores_as_a_whole(tmp_path: Path) -> None:
    values = noise(500)
    values[400] = 150.0
    write_series(tmp_path / "data/one.csv", values)
    said: list[str] = []

    backtest_files(tmp_path / "data", tmp_path / "whole", said.append)
    backtest_files(tmp_path / "data", tmp_path / "pieces", said.append, piece_rows=7)

    whole = (tmp_path / "whole/one.csv").read_text()
    assert (tmp_path / "pieces/one.csv").read_text() == whole
    assert said[0] == "1/1 one.csv"
    assert not list((tmp_path / "pieces").glob("*.part"))


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_scored(tmp_path: Path) -> None:
    write_series(tmp_path / "data/one.csv", noise(10))
    write_series(tmp_path / "data/two.csv", noise(10))
    (tmp_path / "out/one.csv").mkdir(parents=True)
    said: list[str] = []

    done = backtest_files(tmp_path / "data", tmp_path / "out", said.append)

    assert (done.n_files, done.n_unread) == (1, 1)
    assert "Is a directory; one.csv has no scores" in said[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.csv", "two.csv"]
    with pytest.raises(BadSeriesFile, match="no such folder"):
        backtest_files(tmp_path / "nothing", tmp_path / "out", said.append)


def test_where_nothing_can_be_written_that_is_said_once(tmp_path: Path) -> None:
    write_series(tmp_path / "data/one.csv", noise(10))
    write_series(tmp_path / "data/two.csv", noise(10))
    (tmp_path / "out").write_text("a file")
    said: list[str] = []

    for out, reason in (("out", "File exists"), ("out/below", "Not a directory")):
        with pytest.raises(BadSeriesFile, match=f"{reason}; give a folder for the scores"):
            backtest_files(tmp_path / "data", tmp_path / out, said.append)

    assert said == []


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "out", "--metric", "m"]])
def test_what_is_to_be_scored_must_be_said(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["anomaly", "backtest", *arguments])

    assert result.exit_code == 2
    assert "--metric" in result.output

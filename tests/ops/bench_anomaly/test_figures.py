"""Figures of labelled series, worked by hand after the corpora's own rules."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ops.bench.anomaly.__main__ import main
from ops.bench.anomaly.copies import PERTURBATIONS
from ops.bench.anomaly.corpora import Corpus, LabelledSeries, load
from ops.bench.anomaly.tally import FIGURES, figures_of, judge_of, tally

START_S = 1_767_571_200.0  # a Monday, 00:00 UTC


def labelled(corpus: Corpus, n: int, windows: list[list[int]], scored_from: int) -> LabelledSeries:
    early = 2 if corpus == "cloud" else 0
    edges = np.array(windows, dtype=np.int64).reshape(-1, 2)
    times_s = START_S + 300.0 * np.arange(n, dtype=np.float64)
    values = np.arange(n, dtype=float)
    return LabelledSeries("x", corpus, f"{corpus}/x", times_s, values, edges, scored_from, early)


def totals(series: LabelledSeries, alarms: dict[int, float]) -> NDArray[np.float64]:
    """Return totals at thresholds 1 and 2."""
    row_alarms = np.zeros(len(series.values), dtype=np.float32)
    row_alarms[list(alarms)] = list(alarms.values())
    judge = judge_of(series)
    found: NDArray[np.float64] = tally(
        row_alarms, judge.worth, judge.window, judge.n_windows, np.array([1.0, 2.0])
    )
    return found


def sigma(at: float) -> float:
    return 2 / (1 + math.exp(5 * at)) - 1


def test_nab_pays_the_earliest_alarm_and_charges_by_the_time_after_a_window() -> None:
    """Rows 10 to 19 are a window; row 3 is not scored."""
    series = labelled("nab", 40, [[10, 19]], 5)

    found = totals(series, {3: 9.0, 6: 1.5, 12: 1.2, 15: 2.5, 22: 3.0})

    early, late = sigma(-0.8) / sigma(-1), sigma(-0.5) / sigma(-1)
    after = sigma(3 / 9)
    np.testing.assert_allclose(found, [[-1 + after, 1, early], [after, 1, late]])


def test_a_segment_is_found_in_its_first_rows_only() -> None:
    """Segments of rows 10-14, found in 10 and 11, and 20-20; the one at 2 is not scored."""
    series = labelled("cloud", 40, [[2, 3], [10, 14], [20, 20]], 5)

    found = totals(series, {2: 9.0, 11: 1.5, 12: 9.0, 20: 2.5, 21: 1.0, 30: 2.0})

    # Outside, found, rows of the found; 6 rows are to be found in 2 segments.
    np.testing.assert_array_equal(found, [[2, 2, 6], [1, 1, 1]])


def test_figures_are_those_of_the_corpora() -> None:
    """All found at once with no false alarm is 100 and 1; nothing at all is 0."""
    nab = np.array([[0.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-2.0, 1.0, 0.5]])
    cloud = np.array([[0.0, 2.0, 6.0], [0.0, 0.0, 0.0], [1.0, 1.0, 5.0]])

    figures = figures_of(nab, np.array(2.0), cloud, np.array(2.0), np.array(6.0))

    assert figures[0].tolist() == [100, 100, 100, 1, 1]
    assert not figures[1].any()
    # (0.5 + 1 - 2 * 0.11) / 4; with half of that cost more; (0.5 + 2 - 0.22) / 6.
    expected = [32.0, 26.5, 38.0, 2 / 4, 10 / 12]
    assert dict(zip(FIGURES, figures[2], strict=True)) == pytest.approx(
        dict(zip(FIGURES, expected, strict=True))
    )


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_perturbed_copy_keeps_its_windows(name: str) -> None:
    """What is labelled is the same stretch of the series: here the highest values."""
    series = labelled("nab", 4000, [[3000, 3099]], 600)
    values = series.values * 0 + np.random.default_rng(1).normal(10, 1, 4000)
    values[3000:3100] += 100
    series = LabelledSeries(
        "x", "nab", "nab/x", series.times_s, values, series.windows, 600, series.early
    )

    copy = PERTURBATIONS[name](series, np.random.default_rng(2))

    first, last = copy.windows[0]
    is_high = copy.values > (copy.values.min() + copy.values.max()) / 2
    assert np.flatnonzero(is_high).tolist() == list(range(first, last + 1))
    assert 0 < copy.scored_from < first


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Two families of each corpus; in each a spike, of which a person would say so."""
    rng = np.random.default_rng(7)
    windows = {}
    for family in ("a", "b"):
        values = rng.normal(100, 1, 900)
        values[600:605] += 80
        times = [
            f"2026-01-{5 + i // 288:02d} {i // 12 % 24:02d}:{i % 12 * 5:02d}:00" for i in range(900)
        ]
        nab = tmp_path / f"nab/data/{family}/one.csv"
        cloud = tmp_path / f"cloud/data/{family}/one.csv"
        for path in (nab, cloud):
            path.parent.mkdir(parents=True)
        rows = list(zip(times, values, strict=True))
        nab.write_text("timestamp,value\n" + "".join(f"{t},{v}\n" for t, v in rows))
        labels = [int(600 <= i < 605) for i in range(900)]
        cloud.write_text(
            "time,value,label\n"
            + "".join(f"{t},{v},{a}\n" for (t, v), a in zip(rows, labels, strict=True))
        )
        windows[f"{family}/one.csv"] = [[times[590] + ".000000", times[610] + ".000000"]]
    (tmp_path / "nab/labels").mkdir()
    (tmp_path / "nab/labels/combined_windows.json").write_text(json.dumps(windows))
    return tmp_path


def test_a_folder_of_corpora_is_read(corpora: Path) -> None:
    series = load(corpora)

    assert [(one.family, one.scored_from, one.windows.tolist()) for one in series] == [
        ("nab/a", 135, [[590, 610]]),
        ("nab/b", 135, [[590, 610]]),
        ("cloud/a", 150, [[600, 604]]),
        ("cloud/b", 150, [[600, 604]]),
    ]


def test_a_search_prints_figures_of_families_left_out(
    corpora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An obvious spike is found by whatever the other families have chosen."""
    assert main([str(corpora), "--sets", "4", "--mean", "2"]) == 0

    lines = capsys.readouterr().out.splitlines()
    at_one = [line.split() for line in lines if line.startswith("  at 1")]
    assert len(at_one) == 3
    assert all(float(row[9].strip(",")) > 0.3 for row in at_one)


def test_a_folder_without_corpora_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither nab/labels nor cloud"):
        load(tmp_path)

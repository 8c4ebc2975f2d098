"""The demo: its parts by exact numbers, and as a whole on a small recording."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops.demo import chart
from ops.demo.anomalies import Scored, judge
from ops.demo.check import Check, closed_until_ms
from ops.demo.disk import live_parts, table_bytes
from ops.demo.recording import Incident, read_recording
from ops.demo.run import run_demo
from ops.ports import free_base_port
from topology.settings import load_settings

MINUTE_MS = 60_000
START_MS = 1_795_000_020_000  # a full minute


def write_recording(folder: Path, n_minutes: int) -> None:
    """Write a gauge and a counter, one sample each every 10 s, sorted by series."""
    n = 6 * n_minutes
    names = ('{"__name__": "node_load1"}', '{"__name__": "node_cpu_seconds_total", "mode": "user"}')
    times = [START_MS + 10_000 * step for step in range(n)]
    table = pa.table(
        {
            "time_ms": pa.array(times * 2, pa.int64()),
            "series": [name for name in names for _ in range(n)],
            "value": [0.1 * step for step in range(n)] + [7.0 * step for step in range(n)],
        }
    )
    pq.write_table(table, folder / "machine.parquet")
    incidents = [{"incident": "cpu_burn", "start_ms": START_MS + 2 * MINUTE_MS, "seconds": 60}]
    (folder / "incidents.json").write_text(json.dumps(incidents))


def test_a_recording_is_read_in_order_of_time_and_moved_to_its_new_end(tmp_path: Path) -> None:
    """Labels are added to every series; incidents move along, and all by whole minutes."""
    write_recording(tmp_path, n_minutes=2)
    at_rest = read_recording(tmp_path, instance="r")

    recording = at_rest.ending_at(START_MS + 110_000 + 5 * MINUTE_MS + 59_999)

    assert recording.times_ms.tolist() == [
        START_MS + 5 * MINUTE_MS + 10_000 * step for step in range(12) for _ in range(2)
    ]
    assert at_rest.ending_at(START_MS + 109_999).times_ms[0] == START_MS - MINUTE_MS
    assert [labels["instance"] for labels in recording.labels] == ["r", "r"]
    assert recording.values[:4].tolist() == [0.0, 0.0, 0.1, 7.0]
    assert recording.incidents == [Incident("cpu_burn", START_MS + 7 * MINUTE_MS, 60)]
    assert sum(body.n_samples for body in recording.bodies()) == 24


def test_an_incident_is_found_repeated_or_missed_by_a_score_that_is_told() -> None:
    """Minutes      0     1     2     3     4     5     6     7
    incidents       a     -     b     -     c     -     d     -
    highest score   -     -     1.3   -     1.2   -     0.8   -
    alarm           -     1.5   1.3   -     0     -     0     1.1
    """
    names = dict(zip("abcd", (0, 2, 4, 6), strict=True))
    incidents = [Incident(name, START_MS + at * MINUTE_MS, 0) for name, at in names.items()]
    windows = [
        Scored(START_MS + int(at * MINUTE_MS), series, score, alarm, "")
        for at, series, score, alarm in (
            *((1.5, "x", 1.5, 1.5), (1.6, "y", 1.4, 1.4), (2.5, "z", 1.3, 1.3)),
            *((4.2, "x", 0.9, 0), (4.5, "z", 1.2, 0), (6.5, "x", 0.8, 0), (7.5, "y", 1.1, 1.1)),
        )
    ]

    told = judge(incidents, windows, START_MS + MINUTE_MS)

    assert [(one.verdict, one.window and one.window.series) for one in told.found] == [
        ("still learning", None),
        ("found after 30 s", "z"),
        ("no higher than before", "z"),
        ("not found: 0.80 at most", "x"),
    ]
    assert [(one.n_alarms, one.highest.series) for one in told.elsewhere] == [(2, "x"), (1, "y")]


def test_windows_of_a_recording_are_counted_by_series_and_start(tmp_path: Path) -> None:
    """Two series over three minutes: 6 windows, 4 of which begin before the third minute."""
    write_recording(tmp_path, n_minutes=3)

    recording = read_recording(tmp_path)

    assert recording.n_windows(MINUTE_MS, START_MS + 3 * MINUTE_MS) == 6
    assert recording.n_windows(MINUTE_MS, START_MS + 2 * MINUTE_MS) == 4
    assert recording.last_window(10_000) == (START_MS + 2 * MINUTE_MS + 40_000, 2)


@pytest.mark.parametrize(("past_ms", "closed"), [(0, 0), (9_999, 0), (10_000, 1), (69_999, 1)])
def test_a_window_is_closed_when_the_lateness_has_passed(past_ms: int, closed: int) -> None:
    """A sample so long after the end of a minute closes that minute with 10 s of lateness."""
    end_ms = START_MS

    assert closed_until_ms(end_ms + past_ms, 10) == end_ms + (closed - 1) * MINUTE_MS


def test_a_check_tells_the_difference_when_it_fails() -> None:
    """Sums may differ by the order of their addition, counts not at all."""
    assert Check("sum", 1e15, 1e15 + 1.0, tolerance=1e-9).ok
    assert not Check("samples stored", 1_000_000, 999_999).ok
    assert "(-1)" in str(Check("samples stored", 1_000_000, 999_999))


def test_parts_that_a_merge_has_replaced_do_not_count(tmp_path: Path) -> None:
    """1..3 covers 1..1, 2..2 and the older merge 1..2; other partitions stand by themselves."""
    names = ["30-20260101_1_1_0", "30-20260101_2_2_0", "30-20260101_1_2_1", "30-20260101_1_3_2"]
    names += ["30-20260101_4_4_0", "30-20260102_2_2_0", "detached"]

    live = {folder.name for folder in live_parts([tmp_path / name for name in names])}

    assert live == {"30-20260101_1_3_2", "30-20260101_4_4_0", "30-20260102_2_2_0"}


def test_the_size_of_a_table_is_that_of_its_live_parts(tmp_path: Path) -> None:
    """Tables are links into the engine's folders."""
    (tmp_path / "data" / "observai").mkdir(parents=True)
    for name, size in (("p_1_1_0", 10), ("p_2_2_0", 20), ("p_1_2_1", 25)):
        (tmp_path / "store" / name).mkdir(parents=True)
        (tmp_path / "store" / name / "data.bin").write_bytes(bytes(size))
    (tmp_path / "data" / "observai" / "stored_samples").symlink_to(tmp_path / "store")

    assert table_bytes(tmp_path) == {"stored_samples": 25}


def test_a_chart_has_a_column_a_value_and_letters_under_marked_stretches() -> None:
    """The largest value fills its column, a gap is empty, what is not nothing shows."""
    drawn = chart.draw([0, 50, 100, math.nan, 0.1], [chart.Mark("c", 1, 2)], 2, plain=True)

    assert [line[10:] for line in drawn.lines] == ["  #  ", " ## ."]
    assert drawn.lines[0].startswith("     100")
    assert drawn.marks[10:] == " cc  "
    assert all(line.isascii() for line in (*drawn.lines, drawn.axis))


def test_a_wide_chart_is_squeezed_to_means() -> None:
    """Five values on three columns are two, two and one."""
    assert chart.squeeze([1, 3, 5, math.nan, 7], 3) == [2, 5, 7]


@pytest.mark.broker
@pytest.mark.slow
def test_the_demo_sends_stores_rolls_up_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sample of the recording and of two live seconds is stored; every check holds."""
    write_recording(tmp_path, n_minutes=5)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    code = run_demo(
        load_settings(port=free_base_port()),
        keep=False,
        as_json=True,
        recording_folder=tmp_path,
        live_s=2,
    )

    told = json.loads(capsys.readouterr().out)
    assert code == 0, told["checks"]
    assert told["recording_samples"] == 60
    assert told["stored_samples"] == 60 + told["live_samples"]
    assert told["rollup_rows"] >= 8
    assert len(told["busiest"]) == 10
    assert [incident["name"] for incident in told["incidents"]] == ["cpu_burn"]
    assert told["anomalies"]["is_whole"]
    assert list(scratch.iterdir()) == []


def test_the_demo_says_when_the_recording_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started for it."""
    code = run_demo(load_settings(), keep=False, recording_folder=tmp_path)

    assert code == 1
    assert "machine.parquet" in capsys.readouterr().err

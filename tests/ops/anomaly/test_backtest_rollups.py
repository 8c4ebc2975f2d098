"""`observai anomaly backtest --metric`: windows of the store, scored as live, and shown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ops.anomaly.backtest_rollups import Request, ScoredSeries, backtest_rollups
from ops.anomaly.followed import BacktestError, Followed, read_followed
from ops.anomaly.report import as_jsonable, lines
from ops.query import Service
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from pipeline.scoring.rules import SeriesRules
from schemas.rollups import RollupBlock
from schemas.scores import COLUMNS
from schemas.series import METRIC_LABEL, Announcement, MetricType, series_block
from topology.store.columns import SUMMARIES

START_S = 1_800_000_000
WEB, DB = 3, (1 << 64) - 1
MINUTES = 600


def columns_of_two() -> dict[str, Any]:
    """600 minutes of two series; the second's last hour is ten times as high."""
    values = 100 + np.random.default_rng(5).standard_normal(2 * MINUTES)
    values[-60:] *= 10
    totals = np.concatenate([np.cumsum(60 * values[:MINUTES]), np.cumsum(60 * values[MINUTES:])])
    return {
        "series_id": np.repeat(np.array([WEB, DB], np.uint64), MINUTES),
        "start_s": np.tile(START_S + 60 * np.arange(MINUTES), 2).astype(np.uint32),
        "count": np.full(2 * MINUTES, 4, dtype=np.uint64),
        "sum": 4 * values,
        "min": values - 1,
        "max": values + 1,
        "first": totals - 60 * values,
        "last": totals,
        "increase": 60 * values,
    }


@dataclass(frozen=True, slots=True)
class StoreOfTwo(Service):
    """A store that has the two series, and a tenant's rules."""

    type: str = "gauge"
    rules: Sequence[dict[str, Any]] = ()
    names: Sequence[str] = ("load", "load1", "steal")
    asked: list[str] = field(default_factory=list)

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        assert (method, target, body) == ("GET", "/api/v1/score-rules", None)
        held = {"tenant": "acme", "rule": list(self.rules), "widths": [60]}
        return json.dumps(held).encode()

    def run(self, statement: str, output_format: str) -> bytes:
        self.asked.append(statement)
        if output_format == "arrow":
            return stream(columns_of_two())
        if "editDistance" in statement:
            return answer(["metric"], [[name] for name in self.names])
        if "'load'" not in statement:
            return answer(["series_id", "labels", "type"], [])
        rows = [[str(WEB), {"host": "web"}, self.type], [str(DB), {"host": "db"}, self.type]]
        return answer(["series_id", "labels", "type"], rows)


def answer(names: list[str], rows: list[list[Any]]) -> bytes:
    columns = [{"name": name, "type": "String"} for name in names]
    return json.dumps({"columns": columns, "rows": rows, "elapsed_ms": 1}).encode()


def stream(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


REQUEST = Request("load", 60, START_S, START_S + 36_000)


def found_in(store: StoreOfTwo, request: Request = REQUEST) -> list[ScoredSeries]:
    return list(backtest_rollups(store, read_followed(store), request))


def as_live(kind: MetricType, rules: SeriesRules) -> Any:
    """Return what the score stage gives for the same windows, one minute after the other."""
    stage = PartitionScores(ScoresConfig(rules))
    series = [
        Announcement(number, {METRIC_LABEL: "load", "host": host}, kind)
        for number, host in ((WEB, "web"), (DB, "db"))
    ]
    stage.announce(series_block("acme", 0, 1, series))
    columns = columns_of_two()
    none = np.zeros(2, dtype=np.uint32), np.zeros(0, dtype=np.uint32)
    found = []
    for minute in range(MINUTES):
        both = {name: column[[minute, MINUTES + minute]] for name, column in columns.items()}
        columns_of_block: list[Any] = [
            both["start_s"].astype(np.int64) * 1000,
            both["series_id"],
            both["count"].astype(np.uint32),
            *(both[name] for name in SUMMARIES),
            *none,
        ]
        found += stage.feed([RollupBlock("acme", START_S * 2000, 1, 60, *columns_of_block)])
    return found


def test_each_series_is_scored_by_itself() -> None:
    web, db = found_in(StoreOfTwo("", ""))

    assert (web.series_id, web.labels, len(web.scores)) == (WEB, {"host": "web"}, MINUTES)
    assert list(web.alarms()) == []
    assert db.alarms()[0] == 540
    assert "x the usual level for Friday 17:00" in db.reason(540)


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("gauge", []),
        ("counter", []),
        ("unknown", [{"metric": "lo.*", "labels": {"host": "db"}, "value": "max"}]),
        ("gauge", [{"direction": "below"}]),
        ("gauge", [{"least_absolute": 1e4}, {"sensitivity": 2.0}]),
        ("gauge", [{"least_hours": 9.5, "sensitivity": 1.5}]),
    ],
)
def test_scores_are_those_of_the_stage(kind: str, rules: list[dict[str, Any]]) -> None:
    """The same numbers, by the same rules, of the same of a window, from the same window on."""
    found = found_in(StoreOfTwo("", "", kind, rules))

    live = as_live(MetricType[kind.upper()], SeriesRules.parse({"rule": rules}))
    for one in found:
        rows = [block.take(np.flatnonzero(block.series_ids == one.series_id)) for block in live]
        for name in COLUMNS:
            expected = np.concatenate([getattr(row, name) for row in rows])
            np.testing.assert_array_equal(getattr(one.scores, name), expected, name)
    assert len(found) == 2


def test_what_is_not_scored_is_counted() -> None:
    store = StoreOfTwo("", "", rules=[{"labels": {"host": "web"}, "exclude": True}])

    report = list(lines(REQUEST, found_in(store), 80))

    assert report[:2] == [
        "load: 1 series, 600 windows of 60 s, 1 alarms in 1 series",
        "1 more series are not scored, by name, type or rule",
    ]


def test_rules_can_be_tried_before_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\ntenant = "acme"\nexclude = true\n')
    store = StoreOfTwo("", "", rules=[{"sensitivity": 2.0}])

    found = list(backtest_rollups(store, read_followed(store, file), REQUEST))

    assert [one.is_left_out for one in found] == [True, True]
    file.write_text("[[rule]]\nexclud = true\n")
    with pytest.raises(BacktestError, match=r"rules\.toml.*exclud"):
        read_followed(store, file)


def test_an_unknown_metric_is_an_error_that_names_near_ones() -> None:
    with pytest.raises(BacktestError, match=r"no series of metric 'lod': .* load, load1, steal"):
        found_in(StoreOfTwo("", ""), replace(REQUEST, metric="lod"))
    with pytest.raises(BacktestError, match="there are no series at all yet"):
        found_in(StoreOfTwo("", "", names=()), replace(REQUEST, metric="lod"))


def test_no_windows_are_an_error_that_says_which_were_asked_for() -> None:
    class Empty(StoreOfTwo):
        def run(self, statement: str, output_format: str) -> bytes:
            if output_format != "arrow":
                return super().run(statement, output_format)
            return stream({name: column[:0] for name, column in columns_of_two().items()})

    with pytest.raises(BacktestError, match="2 series, but no windows of 60 s from 2027-01-15T08"):
        found_in(Empty("", ""))


def test_a_metric_cannot_end_its_string() -> None:
    store = StoreOfTwo("", "", names=())

    with pytest.raises(BacktestError):
        found_in(store, Request("a' OR '1", 60, 0, 60))

    assert all("a\\' OR \\'1" in statement for statement in store.asked)


def test_the_report_shows_what_would_have_alarmed() -> None:
    report = list(lines(REQUEST, found_in(StoreOfTwo("", "")), 80))

    assert report[0] == "load: 2 series, 1,200 windows of 60 s, 1 alarms in 1 series"
    assert report[2] == 'load{host="db"}'
    assert any("◆" in line for line in report)
    assert max(map(len, report[2:13])) <= 80
    assert "2027-01-15T17:00:00Z  score" in report[-1]


def test_the_same_for_a_script() -> None:
    said = json.loads(json.dumps(as_jsonable(REQUEST, found_in(StoreOfTwo("", "")))))

    assert (said["series"], said["left_out"], said["windows"]) == (2, 0, 1200)
    [alarm] = said["alarms"]
    assert (alarm["labels"], alarm["time"]) == ({"host": "db"}, "2027-01-15T17:00:00Z")
    assert alarm["lower"] < alarm["expected"] < alarm["upper"] < alarm["value"]


def test_a_short_stretch_is_said_to_be_learning() -> None:
    one = found_in(StoreOfTwo("", ""))[0]
    short = replace(one, scores=one.scores.cut(0, 50))

    assert list(lines(REQUEST, [short], 80))[1].startswith("all of it is learning")


def test_a_width_that_is_not_scored_is_known() -> None:
    followed = read_followed(StoreOfTwo("", ""))

    assert (followed.tenant, followed.is_scored(60), followed.is_scored(300)) == (
        "acme",
        True,
        False,
    )
    assert isinstance(followed, Followed)

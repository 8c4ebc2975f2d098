"""`observai anomaly backtest --metric`: windows of the store, scored and shown."""

import json
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa

from ops.anomaly.backtest_rollups import Request, ScoredSeries, backtest_rollups
from ops.anomaly.report import as_jsonable, lines
from ops.query import Service
from pipeline.anomaly.scores import Scores

START_S = 1_800_000_000
WEB, DB = 3, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class StoreOfTwo(Service):
    """A store that has 600 minutes of two series; the second's last hour is ten times as high."""

    type: str = "gauge"
    asked: list[str] = field(default_factory=list)

    def run(self, statement: str, output_format: str) -> bytes:
        self.asked.append(statement)
        if output_format == "json":
            names = [{"name": name, "type": "String"} for name in ("series_id", "labels", "type")]
            rows = [[str(WEB), {"host": "web"}, self.type], [str(DB), {"host": "db"}, self.type]]
            return json.dumps({"columns": names, "rows": rows, "elapsed_ms": 1}).encode()
        values = 100 + np.random.default_rng(5).standard_normal(1200)
        values[1140:] *= 10
        table = pa.table(
            {
                "series_id": pa.array(np.repeat(np.array([WEB, DB], np.uint64), 600)),
                "time_s": pa.array(np.tile(START_S + 60 * np.arange(600), 2).astype(np.uint32)),
                "mean": pa.array(values),
                "rate": pa.array(np.full(1200, 7.0)),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())


REQUEST = Request("load", 60, START_S, START_S + 36_000)


def test_each_series_is_scored_by_itself() -> None:
    web, db = backtest_rollups(StoreOfTwo("", ""), REQUEST)

    assert (web.series_id, web.labels, len(web.values)) == (WEB, {"host": "web"}, 600)
    assert list(web.alarms()) == []
    assert db.alarms()[0] == 540
    assert "x the usual level for Friday 17:00" in db.reason(540)


def test_a_counter_is_scored_by_its_rate() -> None:
    web, _ = backtest_rollups(StoreOfTwo("", "", "counter"), REQUEST)

    assert (web.values == 7).all()


def test_a_metric_cannot_end_its_string() -> None:
    store = StoreOfTwo("", "")

    list(backtest_rollups(store, Request("a' OR '1", 60, 0, 60)))

    assert all("a\\' OR \\'1" in statement for statement in store.asked)


def test_the_report_shows_what_would_have_alarmed() -> None:
    found = list(backtest_rollups(StoreOfTwo("", ""), REQUEST))

    report = list(lines(REQUEST, found, 80))

    assert report[0] == "load: 2 series, 1,200 windows of 60 s, 1 alarms in 1 series"
    assert report[2] == 'load{host="db"}'
    assert any("◆" in line for line in report)
    assert max(map(len, report[2:13])) <= 80
    assert "2027-01-15T17:00:00Z  score" in report[-1]


def test_the_same_for_a_script() -> None:
    found = list(backtest_rollups(StoreOfTwo("", ""), REQUEST))

    said = json.loads(json.dumps(as_jsonable(REQUEST, found)))

    assert (said["series"], said["windows"]) == (2, 1200)
    [alarm] = said["alarms"]
    assert (alarm["labels"], alarm["time"]) == ({"host": "db"}, "2027-01-15T17:00:00Z")
    assert alarm["lower"] < alarm["expected"] < alarm["upper"] < alarm["value"]


def test_a_short_stretch_is_said_to_be_learning() -> None:
    one = next(backtest_rollups(StoreOfTwo("", ""), REQUEST))
    scores = Scores(*(getattr(one.scores, field.name)[:50] for field in fields(Scores)))
    short = ScoredSeries(WEB, {}, one.times_s[:50], one.values[:50], scores)

    assert list(lines(REQUEST, [short], 80))[1].startswith("all of it is learning")

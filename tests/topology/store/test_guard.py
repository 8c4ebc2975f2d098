"""What an analyst may run is run as written; everything else is refused with the reason."""

import pytest

from tests.topology.store.rows import NOON_MS, read, sample_block, store_samples, store_series
from topology.store.client import Engine
from topology.store.guard import RefusedStatement, check

ALLOWED = [
    "SELECT * FROM samples",
    (
        "select count(), count(*), avg(value) from samples "
        "where metric = 'a' and time > now() - interval 1 day"
    ),
    "SELECT labels['host'] AS host, quantile(0.9)(value) FROM samples GROUP BY host ORDER BY host",
    "SELECT toStartOfMinute(time) AS minute, sumIf(value, value > 1) FROM samples GROUP BY minute",
    "SELECT toStartOfInterval(time, INTERVAL 5 MINUTE) t, max(value) FROM samples GROUP BY t",
    (
        "WITH busy AS (SELECT series_id, count() AS n FROM samples GROUP BY series_id) "
        "SELECT metric, n FROM busy JOIN series USING (series_id)"
    ),
    "WITH 5 AS n SELECT value + n FROM samples",
    "WITH (SELECT max(time) FROM samples) AS newest SELECT newest - time FROM samples",
    "SELECT 1 UNION ALL SELECT 2",
    "SELECT 1 + 1 AS two",
    "SELECT quantileDD(0.01, 0.9)(value), quantilesGK(100, 0.5, 0.9)(value) FROM samples",
    "SELECT groupArraySorted(3)(value), topKIf(2)(metric, value > 1) FROM samples",
    (
        "SELECT timeSeriesLastToGrid(toDateTime('2026-01-01 00:00:00', 'UTC'), "
        "toDateTime('2026-01-01 01:00:00', 'UTC'), 60, 300)(time, value) FROM samples"
    ),
    "SELECT metric FROM series INTERSECT SELECT metric FROM samples",
    "SELECT * EXCEPT (value) FROM samples LIMIT 3 OFFSET 1",
    "SELECT k, v FROM samples ARRAY JOIN mapKeys(labels) AS k, mapValues(labels) AS v",
    "SELECT arrayMap(x -> x * 2, groupArray(value)) FROM samples",
    "SELECT value, lagInFrame(value) OVER (PARTITION BY series_id ORDER BY time) FROM samples",
    "SELECT time FROM samples ORDER BY time WITH FILL STEP 60 LIMIT 5",
    "SELECT series_id, value FROM samples ORDER BY time DESC LIMIT 1 BY series_id",
    (
        "SELECT s.value FROM samples AS s ASOF JOIN rollups AS r "
        "ON s.series_id = r.series_id AND s.time >= r.window_start"
    ),
    "SELECT 'it''s', 'a\\\\b', 'a\\'b', 'line\\nbreak', 'тест'",
    "SELECT value::Int32, CAST(value AS String), toDate(time), 1e3, 0x1F, nan, NULL FROM samples",
    (
        "SELECT dateDiff('second', time, now()), date_add(DAY, 1, time), formatDateTime(time, '%F')"
        " FROM samples"
    ),
    "SELECT if(value > 1, 'a', 'b'), multiIf(value > 1, 1, 2), value > 1 ? 1 : 2 FROM samples",
    "SELECT count() FROM samples WHERE series_id IN (SELECT series_id FROM series) -- all",
    "SELECT metric FROM samples WHERE metric IN ('a', 'b') AND labels['host'] LIKE 'h%'",
    "SELECT count() FROM `samples`",
    "SELECT width_s, count, sum / count FROM rollups WHERE width_s = 60",
    "SELECT window_start, sum(increase) FROM rollups GROUP BY ALL ORDER BY ALL",
    "SELECT ifNotFinite(value, 0), reinterpretAsUInt64(value) FROM samples",
    "SELECT quantilesTDigest(0.5, 0.9)(value), argMax(value, time), uniqExact(metric) FROM samples",
]

REFUSED = [
    ("", "0 statements"),
    ("SELECT 1; SELECT 2", "2 statements"),
    ("DROP TABLE samples", "DROP is not allowed"),
    ("INSERT INTO samples VALUES (1)", "INSERT is not allowed"),
    ("SET readonly = 0", "SET is not allowed"),
    ("EXPLAIN SELECT 1", "EXPLAIN is not allowed"),
    ("SHOW TABLES", "SHOW is not allowed"),
    ("SELECT * FROM samples FORMAT CSV", "FORMAT is not allowed"),
    ("SELECT * FROM samples SETTINGS max_threads = 1", "SETTINGS is not allowed"),
    ("SELECT * FROM (SELECT 1 SETTINGS readonly = 0)", "SETTINGS is not allowed"),
    ("SELECT * FROM samples INTO OUTFILE 'x'", "not a readable SELECT"),
    ("SELECT * FROM samples FINAL", "FINAL is not needed"),
    ("SELECT * FROM samples PREWHERE value = 1", "PREWHERE is not allowed"),
    ("SELECT 1 IN (stored_series)", "IN stored_series would read a table"),
    ("SELECT 1 IN [stored_series]", "IN stored_series would read a table"),
    ("SELECT (1, 'a') IN ((migrations))", "IN migrations would read a table"),
    ("SELECT 'x' IN (system.contributors)", "would read a table"),
    ("SELECT * FROM samples SAMPLE 0.1", "SAMPLE is not allowed"),
    ("SELECT metric, count() FROM samples GROUP BY metric WITH TOTALS", "WITH TOTALS is not"),
    ("SELECT * FROM stored_samples", "stored_samples is not a relation here"),
    ("SELECT * FROM system.tables", "system.tables is not a relation here"),
    ("SELECT * FROM observai.samples", "observai.samples is not a relation here"),
    ("SELECT 1 IN system.one", "would read a table"),
    ("SELECT 1 IN stored_series", "would read a table"),
    ("WITH stored_series AS (SELECT 1) SELECT * FROM stored_series", "this name is reserved"),
    ("SELECT * FROM (WITH inner_one AS (SELECT 1) SELECT 1), inner_one", "is not a relation"),
    ("SELECT * FROM file('/etc/passwd')", "table function file()"),
    ("SELECT * FROM url('http://127.0.0.1/', CSV)", "table function url()"),
    ("SELECT * FROM numbers(10)", "table function numbers()"),
    ("SELECT file('/etc/passwd')", "function file() is not allowed"),
    ("SELECT getSetting('log_comment')", "function getSetting() is not allowed"),
    ("SELECT sleep(3)", "function sleep() is not allowed"),
    ("SELECT sumIf(sleepEachRow(1), 1)", "function sleepEachRow() is not allowed"),
    ("SELECT `hostName`()", "function hostName() is not allowed"),
    ("SELECT dictGet('d', 'a', 1)", "function dictGet() is not allowed"),
    ("SELECT {x:UInt8}", "write the value into the statement"),
    ("SELECT ((((", "not a readable SELECT"),
    ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
    ("SELECT '" + "a" * 100_001 + "'", "at most 100000"),
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_an_allowed_statement_gives_the_same_result_as_it_stands(
    engine: Engine, tenant: str, sql: str
) -> None:
    """What runs is written anew from the syntax tree, and must mean the same."""
    store_series(engine, tenant, {1: {"__name__": "a", "host": "h1"}, 2: {"__name__": "b"}})
    rows = [(key, NOON_MS + step * 1000, key + step / 4) for key in (1, 2) for step in range(5)]
    store_samples(engine, sample_block(tenant, rows))

    rewritten = read(engine, tenant, check(sql))
    as_written = read(engine, tenant, sql)

    assert repr(sorted(rewritten, key=repr)) == repr(sorted(as_written, key=repr))


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
def test_a_refusal_names_the_offending_thing(sql: str, reason: str) -> None:
    """And says what is allowed instead."""
    with pytest.raises(RefusedStatement) as refusal:
        check(sql)

    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("sql", "is_narrowed"),
    [
        ("SELECT * FROM samples WHERE metric = 'a'", True),
        ("SELECT * FROM samples AS s WHERE s.metric = 'a' AND value > 1", True),
        ("SELECT * FROM rollups WHERE labels['host'] = 'h'", True),
        ("SELECT * FROM samples WHERE metric LIKE 'a%'", True),
        ("SELECT * FROM samples WHERE metric = 'a' OR value > 1", False),
        # A sample whose series is not known has an empty metric, and meets these.
        ("SELECT * FROM samples WHERE metric != 'a'", False),
        ("SELECT * FROM samples WHERE metric = ''", False),
        ("SELECT * FROM samples WHERE metric LIKE '%a'", False),
        ("SELECT upper(metric) AS metric FROM samples WHERE metric = 'A'", False),
        ("SELECT * FROM samples RIGHT JOIN series USING (series_id) WHERE metric = 'a'", False),
    ],
)
def test_only_conditions_that_need_labels_narrow_the_read(sql: str, is_narrowed: bool) -> None:
    """The added condition must follow from those that are there."""
    assert ("IN (SELECT series_id FROM series" in check(sql)) == is_narrowed

"""One tenant's handle shows nothing of another's, even past the check of the statement."""

from itertools import product

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.topology.store.rows import (
    NOON_MS,
    RETENTION_DAYS,
    read,
    sample_block,
    store_samples,
    store_series,
)
from topology.store.client import Engine
from topology.store.guard import RefusedStatement, check

SECRET = "secret-of-the-victim"

_SOURCES = [
    *("samples", "series", "rollups", "stored_samples", "stored_series", "stored_rollups"),
    *("stored_series FINAL", "observai.stored_samples", "`observai`.`stored_series`"),
    *("(SELECT * FROM stored_series)", "merge('observai', 'stored_series')"),
    *("merge(currentDatabase(), '^s')", "view(SELECT * FROM observai.stored_series)"),
    *("cluster('default', observai.stored_series)", "remote('127.0.0.1', observai.stored_series)"),
    *("mergeTreeIndex('observai', 'stored_series')", "url('file:///etc/passwd', LineAsString)"),
    *("mergeTreeParts('observai', 'stored_series')", "file('**', LineAsString)"),
    *("url('http://127.0.0.1:1/', LineAsString)", "executable('cat', LineAsString, 'x')"),
    *("numbers(3)", "input('a String')", "dictionary('d')"),
    *("system.parts", "system.parts_columns", "system.columns", "system.tables"),
    *("system.processes", "system.query_log", "system.settings", "system.users"),
    *("system.row_policies", "system.data_skipping_indices", "system.one", "system.mutations"),
    *("INFORMATION_SCHEMA.TABLES", "information_schema.columns", "SYSTEM.TABLES", '"system".parts'),
]
_SHAPES = [
    "SELECT * FROM {}",
    "SELECT count() FROM {}",
    "SELECT * FROM {} AS a CROSS JOIN samples AS b",
    "WITH x AS (SELECT * FROM {}) SELECT * FROM x",
    "SELECT (SELECT any(toString(tuple(*))) FROM {})",
    "SELECT 1 UNION ALL SELECT count() FROM {}",
    "SELECT 1 WHERE EXISTS(SELECT * FROM {})",
]
_OTHERS = [
    "SELECT * FROM loop('observai', 'stored_series') LIMIT 9",
    "SELECT * FROM generateRandom('a UInt8') LIMIT 9",
    "SELECT * FROM samples PREWHERE 1",
    "SELECT * FROM stored_series PREWHERE tenant != ''",
    "SELECT * FROM stored_series WHERE throwIf(tenant = '{victim}')",
    "SELECT * FROM stored_series WHERE tenant = '{victim}' OR 1",
    "SELECT max(tenant), min(tenant), uniq(tenant) FROM stored_series",
    "SELECT * FROM samples SETTINGS log_comment = ''",
    "SELECT * FROM samples SETTINGS log_comment = '{victim}'",
    "SELECT * FROM (SELECT * FROM stored_series SETTINGS log_comment = '{victim}')",
    "SELECT * FROM samples SETTINGS readonly = 0, log_comment = '{victim}'",
    "SELECT * FROM samples /* */ SETTINGS/**/log_comment/**/=/**/'{victim}'",
    "SELECT * FROM samples -- x\nSETTINGS log_comment = '{victim}'",
    "SELECT * FROM samples # x\n SETTINGS log_comment = '{victim}'",
    "SET log_comment = '{victim}'; SELECT * FROM samples",
    "SET log_comment = '{victim}'",
    "SET readonly = 0",
    "SELECT 1; SELECT * FROM samples SETTINGS log_comment = ''",
    "SELECT * FROM samples FORMAT Null SETTINGS log_comment = ''",
    "SELECT * FROM stored_samples INTO OUTFILE '/tmp/x'",
    "SELECT 'a' IN stored_series",
    "SELECT '{victim}' IN (SELECT tenant FROM stored_series)",
    "SELECT has(groupArray(tenant), '{victim}') FROM stored_series",
    "SELECT joinGet('observai.stored_series', 'metric', 1)",
    "SELECT hasColumnInTable('observai', 'stored_series', 'tenant')",
    "SELECT getSetting('log_comment'), currentUser(), hostName(), version(), currentDatabase()",
    "SELECT file('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT FiLe('/etc/passwd')",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT getServerSetting('path'), getMacro('a')",
    "SELECT __getScalar('a')",
    "SELECT filesystemAvailable(), serverUUID(), tcpPort(), uptime()",
    "SELECT addressToLine(1), demangle('a'), logTrace('a')",
    "SELECT * FROM samples AS OF 1",
    "SELECT * FROM \u0455amples",
    "SELECT * FROM samples\u00a0, system.parts",
    "SELECT * FROM\u2003system.parts",
    'SELECT * FROM "samples" , "stored_series"',
    "SELECT * FROM samples WHERE metric = 'x' \\' OR 1 = 1 UNION ALL SELECT * FROM system.one -- '",
    "SELECT 'x\\' UNION ALL SELECT name FROM system.tables -- '",
    "SELECT $$a$$ , * FROM system.parts",
    "SELECT $x$ $x$, * FROM stored_series",
    "SELECT 1 /* /* */ UNION ALL SELECT count() FROM system.parts -- */",
    "SELECT * FROM values('a String', 'b') UNION ALL SELECT metric FROM stored_series",
    "FROM stored_series SELECT *",
    "(SELECT * FROM stored_series)",
    "TABLE stored_series",
    "DESCRIBE TABLE stored_series",
    "SHOW CREATE TABLE stored_series",
    "SHOW TABLES FROM observai",
    "EXPLAIN SELECT * FROM stored_series",
    "EXPLAIN ESTIMATE SELECT * FROM stored_series",
    "CREATE TABLE t ENGINE = Memory AS SELECT * FROM stored_series",
    "CREATE ROW POLICY OR REPLACE p ON observai.stored_series USING 1 TO ALL",
    "ALTER TABLE stored_series DELETE WHERE 1",
    "TRUNCATE TABLE stored_series",
    "OPTIMIZE TABLE stored_series",
    "INSERT INTO stored_series SELECT * FROM stored_series",
    "DELETE FROM stored_series WHERE 1",
    "RENAME TABLE stored_series TO x",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE stored_series TO File('/tmp/b')",
    "GRANT ALL ON *.* TO default",
    "USE system",
    "ATTACH TABLE x",
    "EXECUTE AS default SELECT 1",
    "WITH RECURSIVE r AS (SELECT * FROM stored_series UNION ALL SELECT * FROM r) SELECT * FROM r",
]
ATTACKS = [shape.format(source) for shape, source in product(_SHAPES, _SOURCES)] + _OTHERS

# These show nothing of rows, but names and numbers; they are what the check is for.
_ENGINE_SHOWS = ("system.", "information_schema.", '"system".')


@pytest.fixture
def victim(engine: Engine, tenant: str) -> str:
    """A tenant with one series and rows, all recognizable."""
    name = f"{SECRET}-{tenant}"
    store_series(engine, name, {77: {"__name__": SECRET, "host": SECRET}})
    store_samples(engine, sample_block(name, [(77, NOON_MS + step, 7.0) for step in range(9)]))
    engine.writer.command(
        "INSERT INTO stored_rollups (tenant, width_s, series_id, window_start, count, "
        f"retention_days) VALUES ('{name}', 60, 77, '2027-01-15 08:00:00', 9, {RETENTION_DAYS})"
    )
    return name


def test_there_are_many_attacks() -> None:
    """The lists have not shrunk."""
    assert len(ATTACKS) >= 300


def test_no_statement_that_passes_the_check_shows_anything_of_another_tenant(
    engine: Engine, tenant: str, victim: str
) -> None:
    """Neither rows nor names; what passes sees an empty store."""
    passed = []
    for attack in ATTACKS:
        try:
            statement = check(attack.replace("{victim}", victim))
        except RefusedStatement:
            continue
        passed.append(attack)
        shown = _run(engine, tenant, statement)
        assert SECRET not in shown, attack
        assert "stored_" not in shown, attack

    # SELECTs over the relations pass, and their counts are those of an empty store.
    assert len(passed) < 30
    for relation in ("samples", "series", "rollups"):
        assert read(engine, tenant, check(f"SELECT count() FROM {relation}")) == [(0,)]


def test_the_engine_alone_shows_no_row_of_another_tenant(
    engine: Engine, tenant: str, victim: str
) -> None:
    """Without the check of the statement: row policies and read-only handles hold by themselves."""
    for attack in ATTACKS:
        if any(name in attack.lower() for name in _ENGINE_SHOWS):
            continue
        shown = _run(engine, tenant, attack.replace("{victim}", victim))
        assert SECRET not in shown, attack

    assert read(engine, tenant, "SELECT count() FROM stored_samples") == [(0,)]
    assert read(engine, victim, "SELECT count() FROM samples") == [(9,)]


def test_a_handle_without_a_tenant_is_not_given_out(engine: Engine) -> None:
    """An empty name is the operator's."""
    with pytest.raises(ValueError, match="tenant's name"), engine.reader(""):
        pass


def test_handles_are_reused_and_bounded(engine: Engine, tenant: str) -> None:
    """No more handles stay open than allowed, and one is never lent twice at once."""
    with engine.reader(tenant) as first, engine.reader(tenant) as second:
        assert first is not second
    with engine.reader(tenant) as again:
        assert again in {first, second}
    for number in range(6):
        with engine.reader(f"{tenant}-{number}"):
            pass

    assert len(engine._idle) == 4


def _run(engine: Engine, tenant: str, statement: str) -> str:
    """Return what the statement shows, rows only: an error repeats the statement."""
    try:
        with engine.reader(tenant) as client:
            return client.raw_query(statement, fmt="TSVRaw").decode(errors="replace")
    except ClickHouseError:
        return ""

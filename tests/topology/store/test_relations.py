"""What an analyst sees: names, types, one row a key, and the cost of a filter by metric."""

import math
import re

from schemas.series import MetricType
from tests.topology.store.rows import NOON_MS, read, sample_block, store_samples, store_series
from topology.store.client import Engine
from topology.store.guard import check

_MAP = "Map(String, String)"
_TIME = "DateTime64(3, 'UTC')"
_PERCENTILES = [(name, "Nullable(Float64)") for name in ("p50", "p90", "p99")]
_FLOATS = [(name, "Float64") for name in ("sum", "min", "max", "first", "last", "increase")]

COLUMNS = {
    "series": [
        *(("series_id", "UInt64"), ("metric", "String"), ("labels", _MAP), ("type", "String")),
        *(("unit", "String"), ("first_seen", _TIME), ("last_seen", _TIME)),
    ],
    "samples": [
        *(("time", _TIME), ("series_id", "UInt64"), ("metric", "String"), ("labels", _MAP)),
        ("value", "Float64"),
    ],
    "rollups": [
        *(("width_s", "UInt32"), ("window_start", "DateTime('UTC')"), ("series_id", "UInt64")),
        *(("metric", "String"), ("labels", _MAP), ("count", "UInt64")),
        *(*_FLOATS, *_PERCENTILES, ("sketch", "Array(UInt32)")),
    ],
    "scores": [
        *(("width_s", "UInt32"), ("window_start", "DateTime('UTC')"), ("series_id", "UInt64")),
        *(("metric", "String"), ("labels", _MAP), ("value", "Float64")),
        *(("score", "Float32"), ("alarm", "Float32"), ("expected", "Float64")),
        *(("lower", "Float64"), ("upper", "Float64"), ("reason", "String")),
    ],
    "anomalies": [
        *(("start", "DateTime('UTC')"), ("end", "DateTime('UTC')"), ("peak_score", "Float32")),
        *(("series_count", "UInt32"), ("metric", "String"), ("labels", _MAP)),
        *(("members", "Array(String)"), ("detected", "DateTime('UTC')"), ("id", "UInt64")),
    ],
}


def test_relations_have_the_columns_of_the_contract(engine: Engine, tenant: str) -> None:
    """Names, order and types are what scripts rely on."""
    for relation, columns in COLUMNS.items():
        described = read(engine, tenant, f"DESCRIBE TABLE {relation}")

        assert [(name, type_name) for name, type_name, *_ in described] == columns


def test_of_samples_with_one_time_the_last_to_arrive_stays(engine: Engine, tenant: str) -> None:
    """Within a block and over blocks."""
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 1.0), (1, NOON_MS, 2.0)]))
    within = read(engine, tenant, "SELECT value FROM samples")

    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 0.5), (1, NOON_MS + 1, 7.0)]))
    over = read(engine, tenant, "SELECT value FROM samples ORDER BY time")

    assert within == [(2.0,)]
    assert over == [(0.5,), (7.0,)]


def test_repeats_within_one_insert_are_one_sample(engine: Engine, tenant: str) -> None:
    """They all stand in the part until it is merged; the last of each is what is read."""
    rows = [(series, NOON_MS, float(value)) for value in range(3) for series in range(1, 2001)]

    engine.writer.command("SYSTEM STOP MERGES stored_samples")
    store_samples(engine, sample_block(tenant, rows))

    stored = "SELECT count() FROM stored_samples WHERE tenant = {tenant:String}"
    found = engine.writer.query(stored, parameters={"tenant": tenant}).result_rows
    assert found == [(6000,)], "merged already"
    counted = "SELECT count(), min(value), max(value) FROM samples"
    assert read(engine, tenant, counted) == [(2000, 2.0, 2.0)]
    assert read(engine, tenant, "SELECT value FROM samples WHERE series_id = 7") == [(2.0,)]
    engine.writer.command("SYSTEM START MERGES stored_samples")


def test_a_nan_keeps_its_bits(engine: Engine, tenant: str) -> None:
    """A stale marker is told from other NaNs after storage."""
    block = sample_block(tenant, [(1, NOON_MS, math.nan)])
    block.values.view("u8")[0] = 0x7FF0000000000002
    store_samples(engine, block)

    bits = read(engine, tenant, "SELECT reinterpretAsUInt64(value) FROM samples")

    assert bits == [(0x7FF0000000000002,)]


def test_a_series_announced_again_is_one_row(engine: Engine, tenant: str) -> None:
    """First and last seen span all announcements, and a known type wins over an unknown one."""
    labels = {1: {"__name__": "requests", "host": "a"}}
    store_series(engine, tenant, labels, metric_type=MetricType.COUNTER, unit="bytes")
    store_series(engine, tenant, labels, seen_ms=NOON_MS + 5000)
    store_series(engine, tenant, labels, seen_ms=NOON_MS - 5000)

    columns = (
        "metric, labels, type, unit, toUnixTimestamp64Milli(first_seen), "
        "toUnixTimestamp64Milli(last_seen)"
    )
    rows = read(engine, tenant, f"SELECT {columns} FROM series")

    seen = (NOON_MS - 5000, NOON_MS + 5000)
    assert rows == [("requests", {"host": "a"}, "counter", "bytes", *seen)]


def test_samples_carry_metric_and_labels_of_their_series(engine: Engine, tenant: str) -> None:
    """A sample whose series is not known yet is shown without them, not hidden."""
    store_series(engine, tenant, {1: {"__name__": "load", "host": "a"}})
    store_samples(engine, sample_block(tenant, [(1, NOON_MS, 1.0), (2, NOON_MS, 2.0)]))

    rows = read(engine, tenant, "SELECT metric, labels, value FROM samples ORDER BY value")

    assert rows == [("load", {"host": "a"}, 1.0), ("", {}, 2.0)]


def test_a_metric_and_a_time_range_read_a_small_part_of_the_rows(
    engine: Engine, tenant: str
) -> None:
    """The condition on the metric reaches the primary key, that on the time the partitions."""
    n_series, day_ms = 400, 86_400_000
    names = {key << 40: {"__name__": f"metric_{key}"} for key in range(n_series)}
    store_series(engine, tenant, names)
    for day in range(4):
        rows = [
            (key, NOON_MS + day * day_ms + step * 1000, 1.0) for key in names for step in range(200)
        ]
        store_samples(engine, sample_block(tenant, rows))

    statement = check(
        "SELECT count() FROM samples WHERE metric = 'metric_7' "
        f"AND time < fromUnixTimestamp64Milli({NOON_MS + day_ms})"
    )
    with engine.reader(tenant) as client:
        plan = client.raw_query(f"EXPLAIN indexes = 1 {statement}", fmt="TSVRaw").decode()
        (count,) = client.query(statement).result_rows[0]

    read_of_samples = plan[plan.index("stored_samples)") :]
    (found,) = re.findall(r"Parts: (\d+) \| Granules: (\d+)", read_of_samples)[:1]
    parts, granules = map(int, found)
    assert count == 200
    assert "series_id in 1-element set" in read_of_samples
    # Of the day's ten granules of 8,192 rows; another test's part of that day is one of its own.
    assert granules <= parts + 2

-- One row a series; announcements of one series merge into one row, in any order and number.
CREATE TABLE IF NOT EXISTS {database}.stored_series
(
    tenant LowCardinality(String),
    -- A series has one metric, so the key is still one row a series, and a metric is a range of it.
    metric String CODEC(ZSTD(1)),
    series_id UInt64,
    labels SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(1)),
    type SimpleAggregateFunction(max, Enum8(
        'unknown' = 0, 'counter' = 1, 'gauge' = 2, 'histogram' = 3,
        'gaugehistogram' = 4, 'summary' = 5, 'info' = 6, 'stateset' = 7)),
    unit SimpleAggregateFunction(max, String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    retention_days SimpleAggregateFunction(max, UInt16)
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, metric, series_id)
-- A live series is announced again at least once a day, so one silent this long has no samples left.
TTL toDateTime(last_seen, 'UTC') + toIntervalDay(retention_days + 2)
SETTINGS ttl_only_drop_parts = 0;

-- Casts show an analyst plain types instead of aggregate ones.
CREATE VIEW IF NOT EXISTS {database}.series AS
SELECT
    series_id,
    metric,
    CAST(labels, 'Map(String, String)') AS labels,
    CAST(type, 'String') AS type,
    CAST(unit, 'String') AS unit,
    CAST(first_seen, 'DateTime64(3, \'UTC\')') AS first_seen,
    CAST(last_seen, 'DateTime64(3, \'UTC\')') AS last_seen
FROM {database}.stored_series FINAL;

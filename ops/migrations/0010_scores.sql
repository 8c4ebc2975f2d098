-- One row a series, width and window that was scored; a crash repeats rows, which are equal.
CREATE TABLE IF NOT EXISTS {database}.stored_scores
(
    tenant LowCardinality(String),
    width_s UInt32,
    series_id UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Delta, ZSTD(1)),
    score Float32 CODEC(ZSTD(1)),
    alarm Float32 CODEC(ZSTD(1)),
    expected Float64 CODEC(Delta, ZSTD(1)),
    lower Float64 CODEC(Delta, ZSTD(1)),
    upper Float64 CODEC(Delta, ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY (retention_days, toDate(window_start))
ORDER BY (tenant, width_s, series_id, window_start)
TTL window_start + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 3600,
    min_parts_to_merge_at_once = 16, merge_selector_base = 16,
    min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE VIEW IF NOT EXISTS {database}.scores AS
SELECT
    one.width_s AS width_s,
    one.window_start AS window_start,
    one.series_id AS series_id,
    known.metric AS metric,
    known.labels AS labels,
    one.value AS value,
    one.score AS score,
    one.alarm AS alarm,
    one.expected AS expected,
    one.lower AS lower,
    one.upper AS upper,
    one.reason AS reason
FROM {database}.stored_scores AS one FINAL
LEFT ANY JOIN
(
    SELECT series_id, metric, CAST(labels, 'Map(String, String)') AS labels
    FROM {database}.stored_series FINAL
) AS known ON known.series_id = one.series_id;

-- One row a series, width and window; a recomputed row (version > 0) replaces a streamed one.
CREATE TABLE IF NOT EXISTS {database}.stored_rollups
(
    tenant LowCardinality(String),
    width_s UInt32,
    series_id UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    sum Float64 CODEC(ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    first Float64 CODEC(ZSTD(1)),
    last Float64 CODEC(ZSTD(1)),
    increase Float64 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (retention_days, toDate(window_start))
ORDER BY (tenant, width_s, series_id, window_start)
TTL window_start + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 3600;

CREATE VIEW IF NOT EXISTS {database}.rollups AS
SELECT
    rollup.width_s AS width_s,
    rollup.window_start AS window_start,
    rollup.series_id AS series_id,
    known.metric AS metric,
    known.labels AS labels,
    rollup.count AS count,
    rollup.sum AS sum,
    rollup.min AS min,
    rollup.max AS max,
    rollup.first AS first,
    rollup.last AS last,
    rollup.increase AS increase,
    -- No tenant has sketches yet; they need one column more, not another relation.
    CAST(NULL, 'Nullable(Float64)') AS p50,
    CAST(NULL, 'Nullable(Float64)') AS p90,
    CAST(NULL, 'Nullable(Float64)') AS p99
FROM {database}.stored_rollups AS rollup FINAL
LEFT ANY JOIN
(
    SELECT series_id, metric, CAST(labels, 'Map(String, String)') AS labels
    FROM {database}.stored_series FINAL
) AS known ON known.series_id = rollup.series_id
-- A recomputed window that lost its only sample has a row of count 0.
WHERE rollup.count > 0;

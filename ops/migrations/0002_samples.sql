-- One row a sample; of several with one time the one inserted last stays.
CREATE TABLE IF NOT EXISTS {database}.stored_samples
(
    tenant LowCardinality(String),
    series_id UInt64 CODEC(ZSTD(1)),
    -- DoubleDelta is smaller for regular scrapes, but a third larger for jittered ones.
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
-- A part holds one retention and one day, so it expires as a whole whatever tiers share the table.
PARTITION BY (retention_days, toDate(time))
ORDER BY (tenant, series_id, time)
TTL toDateTime(time, 'UTC') + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 3600;

-- The id is a hash over tenant and labels: joining by it alone is right for all tenants, and twice as fast.
CREATE VIEW IF NOT EXISTS {database}.samples AS
SELECT
    sample.time AS time,
    sample.series_id AS series_id,
    known.metric AS metric,
    known.labels AS labels,
    sample.value AS value
FROM {database}.stored_samples AS sample FINAL
LEFT ANY JOIN
(
    SELECT series_id, metric, CAST(labels, 'Map(String, String)') AS labels
    FROM {database}.stored_series FINAL
) AS known ON known.series_id = sample.series_id;

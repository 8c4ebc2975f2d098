-- Windows with a score above 1 once more, in order of time: what anomalies are grouped from.
CREATE TABLE IF NOT EXISTS {database}.stored_anomalous
(
    tenant LowCardinality(String),
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    series_id UInt64 CODEC(ZSTD(1)),
    width_s UInt32 CODEC(ZSTD(1)),
    score Float32 CODEC(ZSTD(1)),
    alarm Float32 CODEC(ZSTD(1)),
    retention_days UInt16 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY (retention_days, toDate(window_start))
ORDER BY (tenant, window_start, series_id, width_s)
TTL window_start + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 3600;

-- One row an event; the last computation of a time stays, with what it takes back as deleted.
CREATE TABLE IF NOT EXISTS {database}.stored_anomalies
(
    tenant LowCardinality(String),
    start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    id UInt64,
    end DateTime('UTC'),
    detected DateTime('UTC'),
    peak_score Float32,
    series_count UInt32,
    metric String,
    labels Map(String, String),
    members Array(String),
    version UInt64,
    is_deleted UInt8,
    retention_days UInt16
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY (retention_days, toDate(start))
ORDER BY (tenant, start, id)
TTL start + toIntervalDay(retention_days)
SETTINGS ttl_only_drop_parts = 1, merge_with_ttl_timeout = 3600;

CREATE VIEW IF NOT EXISTS {database}.anomalies AS
SELECT start, end, peak_score, series_count, metric, labels, members, detected, id
FROM {database}.stored_anomalies FINAL;

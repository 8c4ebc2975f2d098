-- Samples that edges refused, by hour, reason and metric: how many so far, by each edge's process.
CREATE TABLE IF NOT EXISTS {database}.stored_rejections
(
    tenant LowCardinality(String),
    hour DateTime('UTC'),
    reason LowCardinality(String),
    metric String,
    source String,
    labels Map(String, String),
    message String,
    count UInt64
)
ENGINE = ReplacingMergeTree(count)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant, hour, reason, metric, source)
TTL hour + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1;

CREATE VIEW IF NOT EXISTS {database}.rejections AS
SELECT
    one.hour AS hour,
    one.reason AS reason,
    one.metric AS metric,
    any(one.labels) AS labels,
    any(one.message) AS message,
    sum(one.count) AS count
FROM {database}.stored_rejections AS one FINAL
GROUP BY one.tenant, one.hour, one.reason, one.metric;

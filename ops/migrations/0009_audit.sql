-- What administrators did and what was refused: rows are added and expire, nothing changes one.
CREATE TABLE IF NOT EXISTS {database}.stored_audit
(
    tenant LowCardinality(String),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id String,
    actor String,
    actor_tenant LowCardinality(String),
    address String,
    action LowCardinality(String),
    target String,
    details String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, time, id)
TTL toDateTime(time, 'UTC') + toIntervalDay(400)
SETTINGS ttl_only_drop_parts = 1;

CREATE VIEW IF NOT EXISTS {database}.audit AS
SELECT time, actor, actor_tenant, address, action, target, details
FROM {database}.stored_audit FINAL;

CREATE TABLE IF NOT EXISTS {database}.stored_key_uses
(
    tenant LowCardinality(String),
    key_id String,
    last_used SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, key_id);

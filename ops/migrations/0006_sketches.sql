-- Entries of pipeline/sketch.py, ascending; empty where the tenant has sketches off.
ALTER TABLE {database}.stored_rollups
    ADD COLUMN IF NOT EXISTS sketch Array(UInt32) CODEC(Delta, ZSTD(1)) AFTER increase;

-- A store looks at its start for versions above the clock: this index lets it read next to nothing.
ALTER TABLE {database}.stored_rollups
    ADD INDEX IF NOT EXISTS versions version TYPE minmax GRANULARITY 4;

-- Level q of n samples is the bucket of rank floor(q * (n - 1)), kept between min and max; the
-- numbers are those of pipeline/sketch.py: 0.02000... is LN_GAMMA, 1.01 the middle of a bucket
-- whose lower bound is 1.
CREATE OR REPLACE VIEW {database}.rollups AS
WITH
    (entry) -> toInt64(bitShiftRight(entry, 14)) - 131072 AS code_of,
    (entry) -> bitAnd(entry, 16383) AS count_of,
    (code) -> multiIf(
        code = 0, 0.,
        abs(code) = 131071, sign(code) * inf,
        sign(code) * exp((abs(code) - 40001) * 0.020000666706669435) * 1.01) AS value_of,
    (entries, level) -> arrayElement(entries, arrayFirstIndex(
        n -> n > toInt64(level * (arraySum(count_of, entries) - 1)),
        arrayCumSum(count_of, entries))) AS entry_at,
    (level, entries, low, high) -> if(
        empty(entries), NULL,
        least(greatest(value_of(code_of(entry_at(entries, level))), low), high)) AS quantile_of
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
    quantile_of(0.5, rollup.sketch, rollup.min, rollup.max) AS p50,
    quantile_of(0.9, rollup.sketch, rollup.min, rollup.max) AS p90,
    quantile_of(0.99, rollup.sketch, rollup.min, rollup.max) AS p99,
    rollup.sketch AS sketch
FROM {database}.stored_rollups AS rollup FINAL
LEFT ANY JOIN
(
    SELECT series_id, metric, CAST(labels, 'Map(String, String)') AS labels
    FROM {database}.stored_series FINAL
) AS known ON known.series_id = rollup.series_id
-- A window that lost its only sample has a row of count 0.
WHERE rollup.count > 0;

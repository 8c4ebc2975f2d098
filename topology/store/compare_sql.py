"""The statement that compares stored windows with the same aggregates over the stored samples.

Written apart from the code that makes rollups, so that one may judge the other: here a window is
what README says of it, there it is what a compiled loop does.
"""

# One pass over the samples, from 5 minutes before the first window: the sample before each one
# comes by a window function.
# Sums are added up in another order here and there, and may differ by the rounding of that; with
# an infinity among the samples nothing is allowed for. Where the finite samples alone add up to
# more than a double holds, it depends on the order what comes out, so a sum says nothing.
# Whether a tenant wants windows of 10 s changes with time and stands in no table: one is missed
# only between the first and the last that these series have.
COMPARE = """
WITH
    (a, b) -> (a = b OR isNaN(a) AND isNaN(b)) AS is_equal,
    (a, b) -> (reinterpretAsUInt64(a) = reinterpretAsUInt64(b) OR isNaN(a) AND isNaN(b)) AS is_same,
    (a, b, size, n_infinite) -> (is_equal(a, b) OR isInfinite(size) OR n_infinite = 0 AND
        abs(a - b) <= {rounding:Float64} * size) AS is_alike,
    (
        SELECT (if(count() = 0, 4294967295, min(toUnixTimestamp(window_start))),
            max(toUnixTimestamp(window_start)))
        FROM stored_rollups
        WHERE tenant = {tenant:String} AND width_s = 10 AND count > 0
            AND series_id IN {series_ids:Array(UInt64)}
            AND window_start >= toDateTime({from_s:UInt32}, 'UTC')
            AND window_start < toDateTime({to_s:UInt32}, 'UTC')
    ) AS fine,
    [0.5, 0.9, 0.99] AS levels,
    ['p50', 'p90', 'p99'] AS level_names,
    runs AS
    (
        SELECT
            series_id,
            time_ms,
            value,
            reinterpretAsUInt64(value) = {stale:UInt64} AS is_stale,
            lagInFrame(value, 1) OVER series AS before,
            time_ms - lagInFrame(time_ms, 1, {never:Int64}) OVER series <= {run_ms:Int64}
                AND reinterpretAsUInt64(before) != {stale:UInt64} AS goes_on,
            if(goes_on, if(value >= before, value - before, value), 0) AS added
        FROM
        (
            SELECT series_id, toUnixTimestamp64Milli(time) AS time_ms, value
            FROM stored_samples FINAL
            WHERE tenant = {tenant:String} AND series_id IN {series_ids:Array(UInt64)}
                AND time >= fromUnixTimestamp64Milli({from_s:Int64} * 1000 - {run_ms:Int64}, 'UTC')
                AND time < fromUnixTimestamp64Milli({to_s:Int64} * 1000, 'UTC')
        )
        WINDOW series AS (PARTITION BY series_id ORDER BY time_ms
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    ),
    expected AS
    (
        SELECT
            width_s,
            series_id,
            toUInt32(intDiv(time_ms, 1000 * width_s) * width_s) AS start_s,
            1 AS is_expected,
            count() AS n,
            groupArrayIf(value, NOT isNaN(value)) AS numbers,
            sum(value) AS total,
            sumIf(abs(value), isFinite(value)) AS total_size,
            if(empty(numbers), nan, minIf(value, NOT isNaN(value))) AS least,
            if(empty(numbers), nan, maxIf(value, NOT isNaN(value))) AS largest,
            argMin(value, time_ms) AS earliest,
            argMax(value, time_ms) AS latest,
            sum(added) AS grown,
            sumIf(abs(added), isFinite(added)) AS grown_size,
            countIf(isInfinite(value) OR isInfinite(added)) AS n_infinite
        FROM runs
        ARRAY JOIN arrayFilter(w -> w != 10 OR fine.1 <= fine.2, {widths:Array(UInt32)}) AS width_s
        WHERE NOT is_stale
        GROUP BY width_s, series_id, start_s
        HAVING start_s >= {from_s:UInt32} AND start_s + width_s <= {to_s:UInt32}
    ),
    stored AS
    (
        SELECT
            width_s, series_id, toUnixTimestamp(window_start) AS start_s, 1 AS is_stored,
            count, sum, min, max, first, last, increase, sketch
        FROM stored_rollups FINAL
        WHERE tenant = {tenant:String} AND width_s IN {widths:Array(UInt32)}
            AND series_id IN {series_ids:Array(UInt64)}
            AND window_start >= toDateTime({from_s:UInt32}, 'UTC')
            AND window_start < toDateTime({to_s:UInt32}, 'UTC')
            AND toUnixTimestamp(window_start) + width_s <= {to_s:UInt32}
            AND count > 0
    ),
    compared AS
    (
        SELECT
            width_s,
            series_id,
            start_s,
            n,
            is_stored,
            is_expected,
            [
                ('count', toFloat64(count), toFloat64(n), count = n),
                ('sum', sum, total, is_alike(sum, total, total_size, n_infinite)),
                ('min', min, least, is_equal(min, least)),
                ('max', max, largest, is_equal(max, largest)),
                ('first', first, earliest, is_same(first, earliest)),
                ('last', last, latest, is_same(last, latest)),
                ('increase', increase, grown, is_alike(increase, grown, grown_size, n_infinite))
            ] AS summaries,
            arrayCumSum(entry -> bitAnd(entry, {max_count:UInt32}), sketch) AS ranks,
            arrayMap(entry -> toInt64(bitShiftRight(entry, {count_bits:UInt8}))
                - {code_offset:Int64}, sketch) AS codes,
            [('sketch', toFloat64(ranks[-1]), toFloat64(length(numbers)),
                empty(sketch) OR ranks[-1] = length(numbers))] AS totals,
            if(empty(sketch), [], arraySort(numbers)) AS ordered,
            arrayMap(level -> codes[arrayFirstIndex(
                rank -> rank > floor(level * (ranks[-1] - 1)), ranks)], levels) AS found_codes,
            arrayMap(code -> least(greatest(multiIf(
                code = 0, 0.,
                abs(code) = {infinity:Int64}, sign(code) * inf,
                sign(code) * exp((abs(code) - {k_offset:Int64} - 1) * {ln_gamma:Float64})
                    * {middle:Float64}), min), max), found_codes) AS found,
            arrayMap(level -> ordered[toUInt64(floor(level * (length(ordered) - 1))) + 1], levels)
                AS exact,
            -- The least of very many codes have become one, which says little of its values.
            arrayMap((name, a, b, code) -> (name, a, b, empty(ordered) OR a = b
                OR isFinite(b) AND abs(a - b) <= {accuracy:Float64} * abs(b)
                OR length(codes) >= {max_codes:UInt32} AND code = codes[1]),
                level_names, found, exact, found_codes) AS quantiles,
            multiIf(
                NOT is_stored OR NOT is_expected, [summaries[1]],
                arrayFilter(column -> NOT column.4, arrayConcat(summaries, totals, quantiles))
            ) AS wrong,
            notEmpty(wrong)
                AND (is_stored OR width_s != 10 OR start_s BETWEEN fine.1 AND fine.2) AS is_wrong
        FROM expected
        FULL OUTER JOIN stored USING (width_s, series_id, start_s)
    )
SELECT
    width_s,
    count() AS n_windows,
    sum(n) AS n_samples,
    countIf(is_wrong) AS n_wrong,
    groupArrayIf({max_differences:UInt32})
    (
        (
            series_id,
            start_s,
            multiIf(NOT is_stored, 'missing', NOT is_expected, 'extra', 'different'),
            arrayMap(column -> (column.1, toString(column.2), toString(column.3)), wrong)
        ),
        is_wrong
    ) AS differences
FROM compared
GROUP BY width_s
ORDER BY width_s
"""

# Ids in an order of their own for each seed, of series announced since a time: the edge announces
# a live series once an hour.
CHOOSE = """
SELECT series_id
FROM stored_series
WHERE tenant = {tenant:String}
    AND series_id * {factor:UInt64} + {seed:UInt64} > {after:UInt64}
GROUP BY series_id
HAVING max(last_seen) >= fromUnixTimestamp64Milli({seen_ms:Int64}, 'UTC')
ORDER BY series_id * {factor:UInt64} + {seed:UInt64}
LIMIT {limit:UInt32}
"""

# Values as bits, so that no NaN loses its payload on the way.
SAMPLES = """
SELECT series_id, toUnixTimestamp64Milli(time) AS time_ms, reinterpretAsUInt64(value) AS bits
FROM stored_samples FINAL
WHERE tenant = {tenant:String} AND series_id IN {series_ids:Array(UInt64)}
    AND time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND (series_id, time_ms) > ({after_series:UInt64}, {after_ms:Int64})
ORDER BY series_id, time_ms
LIMIT {limit:UInt32}
"""

NAMES = "SELECT series_id, metric, labels FROM series WHERE series_id IN {series_ids:Array(UInt64)}"

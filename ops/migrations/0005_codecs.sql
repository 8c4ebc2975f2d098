-- Delta of the bits: 7 % smaller than ZSTD alone on scrapes, 13 % on a recorded machine, and no
-- slower (ops/bench/codecs.py). Parts written before keep their codec until they are merged.
ALTER TABLE {database}.stored_samples MODIFY COLUMN value CODEC(Delta, ZSTD(1));

ALTER TABLE {database}.stored_rollups
    MODIFY COLUMN sum CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN min CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN max CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN first CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN last CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN increase CODEC(Delta, ZSTD(1));

-- Merging eight parts at once instead of two to five writes each row half as often. A day that
-- gets no more rows is merged to the end, so that old data is small and quick to read.
ALTER TABLE {database}.stored_samples MODIFY SETTING
    min_parts_to_merge_at_once = 8,
    min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE {database}.stored_rollups MODIFY SETTING
    min_parts_to_merge_at_once = 8,
    min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

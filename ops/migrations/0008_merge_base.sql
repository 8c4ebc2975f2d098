-- A merge takes parts of about the same size: with the engine's 5 the largest one was written again
-- by every merge of sixteen new ones, two to four times each row where one or two are enough.
ALTER TABLE {database}.stored_samples MODIFY SETTING merge_selector_base = 16;
ALTER TABLE {database}.stored_rollups MODIFY SETTING merge_selector_base = 16;

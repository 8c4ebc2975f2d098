"""`observai verify`: windows held against stored samples, and stored samples against the log."""

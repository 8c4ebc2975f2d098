"""The store role: archive into ClickHouse, recomputation of windows, and the SQL API."""

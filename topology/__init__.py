"""Where it runs: Kafka, Faust, HTTP, ClickHouse, the clock and the settings."""

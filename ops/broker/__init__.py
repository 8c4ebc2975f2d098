"""Apache Kafka as a child process: its files, its configuration, its command line."""

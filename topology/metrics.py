"""The pipeline's own metrics, as Prometheus scrapes them from each role's /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from topology.score_metrics import ScoreMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metric families over one registry; a role records those of its own parts."""

    def __init__(self) -> None:  # noqa: PLR0915 - one statement a family
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.samples_accepted = Counter(
            "observai_samples_accepted_total",
            "Samples acknowledged to clients.",
            ["tenant", "protocol"],
            registry=registry,
        )
        self.samples_rejected = Counter(
            "observai_samples_rejected_total",
            "Samples refused, by reason.",
            ["tenant", "reason"],
            registry=registry,
        )
        self.samples_deduplicated = Counter(
            "observai_samples_deduplicated_total",
            "Samples of replicas that are not elected, answered as written.",
            ["tenant"],
            registry=registry,
        )
        self.requests_refused = Counter(
            "observai_requests_refused_total",
            "Requests that take samples, refused as a whole, by tenant and status.",
            ["tenant", "code"],
            registry=registry,
        )
        self.connections_refused = Counter(
            "observai_connections_refused_total",
            "Connections for which there was no place: their requests got 503, or they were cut.",
            ["how"],
            registry=registry,
        )
        self.edges_live = Gauge(
            "observai_edges_live",
            "Edges that share the tenants' rates, as this edge knows them.",
            registry=registry,
        )
        self.active_series = Gauge(
            "observai_active_series",
            "Series of a tenant with a sample within about an hour, as this edge counts them.",
            ["tenant"],
            registry=registry,
        )
        self.exemplars_skipped = Counter(
            "observai_exemplars_skipped_total",
            "Exemplars received; none are stored.",
            ["tenant", "protocol"],
            registry=registry,
        )
        self.strings_skipped = Counter(
            "observai_strings_skipped_total",
            "Text fields of line protocol received; none are stored.",
            ["tenant", "protocol"],
            registry=registry,
        )
        self.samples_stored = Counter(
            "observai_samples_stored_total",
            "Sample rows written to the store, repeats after a restart included.",
            registry=registry,
        )
        self.records_dead_lettered = Counter(
            "observai_records_dead_lettered_total",
            "Records that no stage could read, or the store refused.",
            ["topic", "reason"],
            registry=registry,
        )
        self.stage_lag = Gauge(
            "observai_stage_lag_seconds",
            "Age by receive time of the oldest record that the stage has not done.",
            ["stage", "partition"],
            registry=registry,
        )
        self.watermark_lag = Gauge(
            "observai_watermark_lag_seconds",
            "How far the slowest tenant's watermark is behind the newest receive time.",
            ["partition"],
            registry=registry,
        )
        self.late_samples = Counter(
            "observai_late_samples_total",
            "Samples that came out of order or after their window had closed.",
            registry=registry,
        )
        self.windows_closed = Counter(
            "observai_windows_closed_total",
            "Rows of closed windows, by width.",
            ["width"],
            registry=registry,
        )
        self.windows_recomputed = Counter(
            "observai_windows_recomputed_total",
            "Rows of windows computed again from stored samples.",
            registry=registry,
        )
        self.kafka_produce = Histogram(
            "observai_kafka_produce_seconds",
            "From handing records to the producer to the broker's acknowledgement.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.verify_windows = Counter(
            "observai_verify_windows_total",
            "Windows that the store has held against their samples.",
            ["width"],
            registry=registry,
        )
        self.verify_mismatch = Counter(
            "observai_verify_mismatch_total",
            "Windows that did not equal their samples, at two looks.",
            ["width"],
            registry=registry,
        )
        self.store_insert = Histogram(
            "observai_store_insert_seconds",
            "One insert into the store.",
            ["table"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.store_oldest_day_overdue = Gauge(
            "observai_store_oldest_day_overdue",
            "1 where rows past their retention are still stored.",
            registry=registry,
        )
        self.store_parts = Gauge(
            "observai_store_parts",
            "Active parts of a table of the store.",
            ["table"],
            registry=registry,
        )
        self.store_parts_fullest = Gauge(
            "observai_store_parts_fullest",
            "Active parts of the table's partition that has most of them.",
            ["table"],
            registry=registry,
        )
        self.store_merges_running = Gauge(
            "observai_store_merges_running",
            "Merges that the store's engine is doing.",
            registry=registry,
        )
        self.http_request = Histogram(
            "observai_http_request_seconds",
            "Requests served, by route and status.",
            ["path", "code"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.logins_refused = Counter(
            "observai_logins_refused_total",
            "Requests refused for their key, by reason.",
            ["reason"],
            registry=registry,
        )
        self.records_lost = Counter(
            "observai_records_lost_total",
            "Records that Kafka no longer had when a stage came to read them.",
            ["topic", "partition"],
            registry=registry,
        )
        self.partitions = Gauge(
            "observai_partitions",
            "Partitions of topic samples that an edge spreads over, or that this process reads.",
            registry=registry,
        )
        self.unread_partitions = Gauge(
            "observai_unread_partitions",
            "Partitions that no process of the consumer group is assigned.",
            ["group"],
            registry=registry,
        )
        self.partition_stopped = Gauge(
            "observai_partition_stopped",
            "1 where a partition stands still: at a newer format, or where most cannot be read.",
            ["topic", "partition"],
            registry=registry,
        )
        self.checkpoint_bytes = Gauge(
            "observai_checkpoint_bytes",
            "Size of the newest checkpoint.",
            ["stage", "partition"],
            registry=registry,
        )
        self.memory_bytes = Gauge(
            "observai_memory_bytes",
            "Memory of what this process holds and bounds, by part.",
            ["part"],
            registry=registry,
        )
        self.series_evicted = Counter(
            "observai_series_evicted_total",
            "Series that a window engine forgot for want of memory; the store has their windows.",
            registry=registry,
        )
        self.scores = ScoreMetrics(registry)
        self.held_records = Gauge(
            "observai_held_records",
            "Records read and not yet acknowledged to Kafka.",
            ["stage", "partition"],
            registry=registry,
        )

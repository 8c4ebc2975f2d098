"""The Faust app, with the settings that make held acknowledgements safe."""

from typing import Any

import faust
from faust import streams
from mode.utils.queues import ThrowableQueue

from topology.settings import Settings
from topology.topics import METADATA_AGE_MS


class BlockingQueue(ThrowableQueue[Any]):
    """A stream's queue whose put waits when it is full.

    Faust's own stops the fetcher by "pressure" at 80 % and looks again a second later, which
    halves the throughput of small queues.
    """

    pressure_high_ratio = 0.5


class WorkerApp(faust.App):
    """An app that queues records in a BlockingQueue."""

    def FlowControlQueue(  # noqa: N802 - Faust's name
        self, maxsize: int | None = None, *, clear_on_resume: bool = False
    ) -> ThrowableQueue[Any]:
        """Return a stream's queue."""
        return BlockingQueue(
            maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume
        )


def build_app(settings: Settings, stage: str) -> WorkerApp:
    """Return the app of one stage: its own consumer group, no tables, no web server."""
    if getattr(streams, "_CStreamIterator", None) is None:
        # Faust's pure-Python path acknowledges records of an old generation without running them.
        raise RuntimeError("faust runs without its compiled parts; install it from a wheel")
    options: dict[str, Any] = {
        "broker": f"kafka://{settings.kafka_bootstrap}",
        "store": "memory://",
        "datadir": settings.data_dir / "faust",
        "web_enabled": False,
        "autodiscover": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        # Round-robin assignment: Faust's own assignor may leave a worker without partitions.
        "table_standby_replicas": 0,
        # Waiting for held acknowledgements at a stop or rebalance would never end.
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 32,
        "broker_commit_interval": 2.0,
        "broker_commit_every": 1_000_000,
        "broker_session_timeout": 15,
        "broker_heartbeat_interval": 3,
        "broker_rebalance_timeout": 60,
        "broker_request_timeout": 40,
        "broker_max_poll_interval": 86_400,
        "consumer_max_fetch_size": 1 << 20,
        "consumer_metadata_max_age_ms": METADATA_AGE_MS,
        "consumer_auto_offset_reset": "earliest",
        # A restarted worker takes its partitions back without a rebalance.
        "consumer_group_instance_id": f"{stage}-{settings.slot}",
        # Held acknowledgements look like a livelock to Faust's detector, which only logs.
        "broker_commit_livelock_soft_timeout": 3600,
        "stream_processing_timeout": 3600,
    }
    return WorkerApp(f"{settings.topic_prefix}{stage}", **options)

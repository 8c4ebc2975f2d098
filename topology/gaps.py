"""Records that Kafka no longer has when a stage comes to read them: said and counted."""

from schemas.topics import Topic
from topology.runtime import Context


def report_gap(context: Context, topic: Topic, partition: int, n_lost: int) -> None:
    """Count lost records and say so; nothing for none."""
    if n_lost <= 0:
        return
    context.metrics.records_lost.labels(topic.value, partition).inc(n_lost)
    context.log.error(
        "records lost: gone from Kafka before they were read",
        topic=topic.value,
        partition=partition,
        n=n_lost,
        remedy="raise topic_retention_hours above the longest standstill",
    )

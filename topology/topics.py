"""Topics: created at the start of a deployment, checked after that, and given more partitions."""

import asyncio
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

from schemas.topics import COMPACTED, PARTITIONED, Topic
from topology.settings import Settings

DEADLINE_S = 30.0
RETRY_S = 0.2
MAX_REPLICAS = 3
# Consumers look so often whether a topic has been given more partitions.
METADATA_AGE_MS = 10_000
HOUR_MS = 3_600_000

# Producers stay below 1 MiB a batch; a checkpoint is one record and may be larger.
MAX_MESSAGE_BYTES = 2 << 20
MAX_CHECKPOINT_BYTES = 8 << 20
# What is little and may be wanted after a weekend.
LONG_KEPT, LONG_HOURS = frozenset({Topic.DEAD_LETTERS, Topic.EVENTS}), 7 * 24

_ADMIN_TIMEOUT_MS = 10_000
_SET_ON_TOPIC = 1  # DescribeConfigs: DYNAMIC_TOPIC_CONFIG, not a default of the broker


class TopicError(Exception):
    """A topic cannot be used as it is; the text says what was found, expected, and the remedy."""


def partition_count(topic: Topic, settings: Settings) -> int:
    """Return the number of partitions that the topic is made with."""
    return settings.partitions if topic in PARTITIONED else 1


def topic_configs(topic: Topic, settings: Settings) -> dict[str, str]:
    """Return the topic's settings in Kafka, in Kafka's own spelling."""
    if topic in COMPACTED:
        is_checkpoint = topic is Topic.CHECKPOINTS
        return {
            "cleanup.policy": "compact",
            "max.message.bytes": str(MAX_CHECKPOINT_BYTES if is_checkpoint else MAX_MESSAGE_BYTES),
            # Only closed segments are compacted, so a busy topic needs small ones.
            "segment.bytes": str((16 if is_checkpoint else 4) << 20),
            "segment.ms": "600000",
            "min.cleanable.dirty.ratio": "0.1",
            "delete.retention.ms": "60000",
        }
    stamped = {"message.timestamp.type": "LogAppendTime"} if topic is Topic.SAMPLES else {}
    hours = LONG_HOURS if topic in LONG_KEPT else settings.topic_retention_hours
    return stamped | {
        "cleanup.policy": "delete",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "retention.ms": str(hours * HOUR_MS),
        # Whole segments expire, so their size and age bound what is kept beyond the retention.
        "segment.bytes": str(128 << 20),
        "segment.ms": str(max(hours * HOUR_MS // 8, 600_000)),
    }


async def ensure_topics(settings: Settings, deadline_s: float = DEADLINE_S) -> None:
    """Create the topics that are missing, check the rest; retried while the broker comes up.

    A topic that is there keeps its number of partitions: that of `samples` holds, which
    `observai partitions` grows last. Raises TopicError when another one has fewer, or when the
    broker did not answer within deadline_s.
    """
    problem = "no answer"
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    return await _ensure(settings)
                except KafkaError as error:
                    problem = f"{type(error).__name__}: {error}"
                    await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise TopicError(
            f"topics could not be made on {settings.kafka_bootstrap} in {deadline_s:.0f} s "
            f"({problem}); is this the address of a running Kafka 3.9 or newer?"
        ) from None


async def _ensure(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_ADMIN_TIMEOUT_MS
    )
    try:
        await admin.start()
        found = await count_partitions(admin, settings)
        missing = [topic for topic in Topic if topic not in found]
        if missing:
            n_partitions = found.get(Topic.SAMPLES, settings.partitions)
            await _create(admin, missing, settings.model_copy(update={"partitions": n_partitions}))
        if found:
            check_counts(found, settings)
            await _correct_configs(admin, list(found), settings)
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], settings: Settings) -> None:
    brokers = (await admin.describe_cluster())["brokers"]
    if not brokers:
        raise KafkaConnectionError("no broker is registered yet")
    response = await admin.create_topics(
        [
            NewTopic(
                settings.topic(topic),
                partition_count(topic, settings),
                min(MAX_REPLICAS, len(brokers)),
                topic_configs=topic_configs(topic, settings),
            )
            for topic in topics
        ]
    )
    for name, code, message in response.topic_errors:
        if code:
            # Also when another process was quicker: tried again, the topic is there to be checked.
            raise for_code(code)(f"{name}: {message}")


async def count_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> dict[Topic, int]:
    """Return the number of partitions of each topic that exists."""
    existing = set(await admin.list_topics())
    names = {settings.topic(topic): topic for topic in Topic}
    present = [name for name in names if name in existing]
    counts = {}
    for found in await admin.describe_topics(present) if present else []:
        if found["error_code"]:
            raise for_code(found["error_code"])(found["topic"])
        counts[names[found["topic"]]] = len(found["partitions"])
    return counts


def check_counts(counts: dict[Topic, int], settings: Settings) -> None:
    """Raise TopicError where the topics' numbers of partitions do not go together."""
    least = counts.get(Topic.SAMPLES, 1)
    for topic, count in counts.items():
        name = settings.topic(topic)
        if topic in PARTITIONED and count < least:
            raise TopicError(
                f"topic {name} has {count} partitions, {settings.topic(Topic.SAMPLES)} has "
                f"{least}: partition p of both must belong together. Give it {least} "
                f"(`observai partitions --grow {least}`, or kafka-topics --alter)"
            )
        if topic not in PARTITIONED and count != 1:
            raise TopicError(
                f"topic {name} has {count} partitions, expected 1: start with another "
                "OBSERVAI_TOPIC_PREFIX (a new, empty log), or delete the topic and what it holds"
            )


async def grow_partitions(admin: AIOKafkaAdminClient, settings: Settings, to: int) -> None:
    """Give every partitioned topic so many partitions; what has them already stays.

    `samples` comes last: who sees its new partitions finds those of the others, and a growth that
    was interrupted is finished by the next.
    """
    counts = await count_partitions(admin, settings)
    others = sorted(PARTITIONED - {Topic.SAMPLES})
    for topics in (others, [Topic.SAMPLES]):
        wanted = {
            settings.topic(topic): NewPartitions(to) for topic in topics if counts[topic] < to
        }
        if wanted:
            await admin.create_partitions(wanted)


async def _correct_configs(
    admin: AIOKafkaAdminClient, topics: list[Topic], settings: Settings
) -> None:
    """Set what differs; entries that the operator set beside ours stay."""
    wanted = {settings.topic(topic): topic_configs(topic, settings) for topic in topics}
    found = await _configs_on_topics(admin, list(wanted))
    changed: list[ConfigResource] = []
    for name, configs in wanted.items():
        differing = {key: (found[name].get(key), to) for key, to in configs.items()}
        differing = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
        if differing:
            structlog.get_logger("topics").warning("topic corrected", topic=name, **differing)
            changed.append(ConfigResource(ConfigResourceType.TOPIC, name, found[name] | configs))
    if not changed:
        return
    for response in await admin.alter_configs(changed):
        for code, message, _, name in response.resources:
            if code:
                raise TopicError(
                    f"topic {name}: Kafka refuses {topic_configs_text(wanted[name])} "
                    f"({for_code(code).__name__}: {message}); set them by hand with kafka-configs"
                )


def topic_configs_text(configs: dict[str, str]) -> str:
    """Return settings as kafka-configs takes them."""
    return ",".join(f"{key}={value}" for key, value in sorted(configs.items()))


async def _configs_on_topics(
    admin: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, str]]:
    """Return by topic the entries that were set on it, without the broker's defaults."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, Any]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code:
                raise for_code(code)(f"{name}: {message}")
            found[name] = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_TOPIC}
    return found

"""Topics, against a real Kafka."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.topics import COMPACTED, PARTITIONED, Topic
from tests.waiting import wait_until_async
from topology.settings import Settings
from topology.topics import (
    TopicError,
    count_partitions,
    ensure_topics,
    partition_count,
    topic_configs,
)

pytestmark = pytest.mark.broker


async def configs_of(settings: Settings, topic: Topic) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, settings.topic(topic))
        [response] = await admin.describe_configs([resource])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await admin.close()


async def test_all_topics_are_made_as_the_contract_says(own_settings: Settings) -> None:
    """Each has its partitions, size limit and clean-up; asking again changes nothing."""
    await ensure_topics(own_settings)
    await ensure_topics(own_settings)

    admin = AIOKafkaAdminClient(bootstrap_servers=own_settings.kafka_bootstrap)
    await admin.start()
    found = await admin.describe_topics([own_settings.topic(topic) for topic in Topic])
    await admin.close()
    assert {item["topic"]: len(item["partitions"]) for item in found} == {
        own_settings.topic(topic): 4 if topic in PARTITIONED else 1 for topic in Topic
    }
    for topic in Topic:
        configs = await configs_of(own_settings, topic)
        assert configs["cleanup.policy"] == ("compact" if topic in COMPACTED else "delete")
        assert configs.items() >= topic_configs(topic, own_settings).items()


async def counts_of(settings: Settings) -> dict[Topic, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        return await count_partitions(admin, settings)
    finally:
        await admin.close()


async def grow(settings: Settings, topics: list[Topic], to: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_partitions(
            {settings.topic(topic): NewPartitions(to) for topic in topics}
        )
    finally:
        await admin.close()

    async def is_shown() -> bool:
        counts = await counts_of(settings)
        return all(counts.get(topic) == to for topic in topics)

    await wait_until_async(is_shown, 20, "the broker shows the partitions")


async def test_topics_keep_their_partitions_whatever_the_setting_says(
    own_settings: Settings,
) -> None:
    """The setting is that of their creation; a growth is not undone, and new topics follow it."""
    await ensure_topics(own_settings.model_copy(update={"partitions": 2}))

    await ensure_topics(own_settings.model_copy(update={"partitions": 8}))

    assert await counts_of(own_settings) == {
        topic: 2 if topic in PARTITIONED else 1 for topic in Topic
    }


async def test_a_growth_that_was_interrupted_is_no_obstacle(own_settings: Settings) -> None:
    """The others have more than `samples`, whose number holds."""
    await ensure_topics(own_settings)

    await grow(own_settings, [Topic.ROLLUPS, Topic.SERIES], 8)

    await ensure_topics(own_settings)


async def test_too_few_partitions_beside_samples_refuse_to_start(own_settings: Settings) -> None:
    """The message says which topic, what was found, and the way out."""
    await ensure_topics(own_settings)
    await grow(own_settings, [Topic.SAMPLES], 8)

    with pytest.raises(TopicError, match=r"4 partitions, .*samples has 8.*--grow 8"):
        await ensure_topics(own_settings)


async def test_retention_follows_the_setting_and_spares_foreign_entries(
    own_settings: Settings,
) -> None:
    """A topic made by hand gets what we need and keeps what its operator set beside it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=own_settings.kafka_bootstrap)
    await admin.start()
    by_hand = {"max.message.bytes": "1000", "compression.type": "lz4"}
    topic = own_settings.topic(Topic.SAMPLES)
    await admin.create_topics([NewTopic(topic, 4, 1, topic_configs=by_hand)])
    await admin.close()

    await ensure_topics(own_settings)

    async def is_corrected() -> bool:
        configs = await configs_of(own_settings, Topic.SAMPLES)
        wanted = topic_configs(Topic.SAMPLES, own_settings) | {"compression.type": "lz4"}
        return configs.items() >= wanted.items()

    await wait_until_async(is_corrected, 10, "the topic has our entries and lz4")


async def test_no_broker_is_an_error_with_the_address(own_settings: Settings) -> None:
    """The deadline holds, and the text names where nobody answered."""
    nowhere = own_settings.model_copy(update={"kafka": "127.0.0.1:1"})

    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1 in 1 s"):
        await ensure_topics(nowhere, deadline_s=1)


@pytest.mark.parametrize("topic", [Topic.SAMPLES, Topic.CHECKPOINTS])
async def test_a_record_of_the_largest_size_fits(own_settings: Settings, topic: Topic) -> None:
    """What max.message.bytes promises, the broker takes."""
    await ensure_topics(own_settings)
    largest = int(topic_configs(topic, own_settings)["max.message.bytes"]) - 1024
    producer = AIOKafkaProducer(
        bootstrap_servers=own_settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=True,
        max_request_size=16 << 20,
    )
    await producer.start()

    try:
        sent = await producer.send_and_wait(
            own_settings.topic(topic), bytes(largest), key=b"k", partition=0
        )
    finally:
        await producer.stop()

    assert sent.offset == 0
    assert partition_count(topic, own_settings) == 4

"""Sees to it that a consumer group reads every partition of its topics.

A group is assigned anew when its leader sees new partitions. A static member that takes up its
old place after a restart is not told that it leads, and looks out for none (KIP-345; aiokafka's
GroupCoordinator watches only in `_perform_assignment`). So every member compares what the group
has been assigned with what there is, and joins again when something has no reader: the broker
takes that from the leader as the wish for a new assignment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError, for_code

from topology.runtime import Context

CHECK_S = 5.0
# A follower that joins again changes nothing but reads all its state anew.
_REJOIN_EVERY_S = 30.0
_TIMEOUT_MS = 4_000
_STABLE = "Stable"


async def watch_readers(
    context: Context, group: str, topics: Iterable[str], rejoin: Callable[[], Awaitable[None]]
) -> None:
    """Keep a part of the health and the metric of unread partitions true until cancelled.

    rejoin: makes this process join the group again.
    """
    names, before, asked_s = sorted(topics), set[TopicPartition](), -_REJOIN_EVERY_S
    admin: AIOKafkaAdminClient | None = None
    try:
        while True:
            try:
                admin = admin or await _connect(context)
                found = await find_unread(admin, group, names)
            except (KafkaError, OSError, TimeoutError) as error:
                # Whether Kafka answers, the part "kafka" says.
                context.log.debug("readers not looked at", group=group, error=repr(error))
                await _close(admin)
                admin = None
            else:
                # Once may be a growth that the group is just about to follow.
                unread, before = found & before, found
                context.metrics.unread_partitions.labels(group).set(len(unread))
                context.health.set(f"readers of {group}", _text(group, unread) if unread else None)
                if unread and time.monotonic() - asked_s >= _REJOIN_EVERY_S:
                    context.log.warning("joining again", reason=_text(group, unread))
                    asked_s = time.monotonic()
                    await rejoin()
            await asyncio.sleep(CHECK_S)
    finally:
        await _close(admin)


async def find_unread(
    admin: AIOKafkaAdminClient, group: str, topics: list[str]
) -> set[TopicPartition]:
    """Return the partitions that no member is assigned; none while members are just joining.

    Raises KafkaError.
    """
    there: set[TopicPartition] = set()
    for topic in await admin.describe_topics(topics):
        if topic["error_code"]:
            raise for_code(topic["error_code"])(topic["topic"])
        there |= {TopicPartition(topic["topic"], one["partition"]) for one in topic["partitions"]}
    (response,) = await admin.describe_consumer_groups([group])
    ((error_code, _, state, _, _, members, *_),) = response.groups
    if error_code:
        raise for_code(error_code)(group)
    if state != _STABLE:
        return set()
    for *_, assignment in members:
        there -= set(ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions())
    return there


async def _connect(context: Context) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=context.settings.kafka_bootstrap, request_timeout_ms=_TIMEOUT_MS
    )
    try:
        await admin.start()
    except BaseException:
        await admin.close()
        raise
    return admin


async def _close(admin: AIOKafkaAdminClient | None) -> None:
    if admin is not None:
        await admin.close()


def _text(group: str, unread: set[TopicPartition]) -> str:
    names = ", ".join(f"{one.topic} {one.partition}" for one in sorted(unread))
    return f"no process of group {group} reads {names}"

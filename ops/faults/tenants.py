"""Tenants of a campaign's own: published on topic `config`, as the admin API will do it."""

import asyncio

from schemas.topics import Topic
from topology.keys import Tenant, generate_key, key_record, tenant_record
from topology.producer import make_producer
from topology.settings import Settings


def add_tenant(kafka: str, tenant: Tenant) -> str:
    """Publish a tenant and a key of it with all scopes; return the key's text.

    kafka: `host:port`. Raises KafkaError when the broker does not acknowledge.
    """
    key, text = generate_key(tenant.name)
    asyncio.run(_publish(Settings(kafka=kafka), [tenant_record(tenant), key_record(key)]))
    return text


async def _publish(settings: Settings, records: list[tuple[bytes, bytes]]) -> None:
    producer = make_producer(settings)
    await producer.start()
    try:
        for key, value in records:
            await producer.send_and_wait(settings.topic(Topic.CONFIG), value, key=key)
    finally:
        await producer.stop()

"""Tenants of a campaign's own: published past the store, which is being killed."""

import asyncio
from pathlib import Path

from schemas.config import ConfigRecord, encode_entry
from schemas.topics import Topic
from topology.keys import generate_key
from topology.producer import make_producer
from topology.secrets import load_key_secret
from topology.settings import Settings
from topology.tenants import Tenant, tenant_entry


def add_tenant(kafka: str, data_dir: Path, tenant: Tenant) -> str:
    """Publish a tenant and a key of it with all scopes; return the key's text.

    kafka: `host:port`. data_dir: of the deployment, for its key secret. Raises KafkaError when
    the broker does not acknowledge.
    """
    settings = Settings(kafka=kafka, data_dir=data_dir)
    key, text = generate_key(tenant.name, secret=load_key_secret(settings))
    records = [encode_entry(tenant_entry(tenant)), encode_entry(key)]
    asyncio.run(_publish(settings, records))
    return text


async def _publish(settings: Settings, records: list[ConfigRecord]) -> None:
    producer = make_producer(settings)
    await producer.start()
    try:
        for key, value in records:
            await producer.send_and_wait(settings.topic(Topic.CONFIG), value, key=key)
    finally:
        await producer.stop()

"""Changes of topic `config`: several stores lose no update, and what fails says so."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownError

from schemas.config import TenantRecord, encode_entry
from tests.topology.running import make_context
from topology.config_feed import ConfigFeed
from topology.config_writer import Change, ConfigUnavailable, ConfigWriter
from topology.keys import KeyRing
from topology.settings import Settings
from topology.topics import ensure_topics

pytestmark = pytest.mark.broker


@pytest.fixture
async def writers(own_settings: Settings) -> AsyncIterator[list[ConfigWriter]]:
    """Two stores' writers."""
    await ensure_topics(own_settings)
    made = [ConfigWriter(own_settings) for _ in range(2)]
    yield made
    for writer in made:
        await writer.stop()


def increment(ring: KeyRing) -> Change:
    """Raise the tenant's limit by one: an update that is lost is missing in the end."""
    known = ring.record("acme") or TenantRecord("acme", "pro", {"max_labels": 0})
    raised = {"max_labels": int(known.overrides["max_labels"] or 0) + 1}
    return Change([encode_entry(msgspec.structs.replace(known, overrides=raised))])


async def test_two_stores_that_change_the_same_lose_nothing(
    writers: list[ConfigWriter], own_settings: Settings
) -> None:
    async def change_often(writer: ConfigWriter) -> int:
        return max([await writer.change(increment) for _ in range(4)])

    offsets = await asyncio.gather(*map(change_often, writers))

    feed = ConfigFeed(make_context("edge", own_settings))
    await feed.start()
    reached = await feed.reached(max(offsets), 10)
    tenant = feed.ring.tenant("acme")
    await feed.stop()
    assert reached
    assert tenant is not None
    assert tenant.max_labels == 8


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_commit_of_unknown_outcome_is_looked_up(
    writers: list[ConfigWriter], monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    commit, asked = AIOKafkaProducer.commit_transaction, []

    async def fail_once(producer: AIOKafkaProducer) -> None:
        asked.append(producer)
        if len(asked) > 1 or is_committed:
            await commit(producer)
        if len(asked) == 1:
            raise UnknownError

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", fail_once)

    await writers[0].change(increment)

    assert len(asked) == (1 if is_committed else 2)
    seen: list[object] = []

    def look(ring: KeyRing) -> Change:
        record = ring.record("acme")
        assert record is not None
        seen.append(record.overrides["max_labels"])
        return Change([])

    assert await writers[0].change(look) == -1
    assert seen == [1]


async def test_a_refused_change_writes_nothing_and_the_next_one_works(
    writers: list[ConfigWriter],
) -> None:
    seen: list[bool] = []

    def refuse(ring: KeyRing) -> Change:
        seen.append(ring.record("acme") is None)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await writers[0].change(refuse)
    assert await writers[0].change(lambda _: Change([])) == -1
    assert await writers[0].change(increment) >= 0
    assert seen == [True, True]


async def test_without_a_broker_a_change_is_refused_in_time(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topology.config_writer._DEADLINE_S", 1.0)
    writer = ConfigWriter(own_settings.model_copy(update={"kafka": "127.0.0.1:1"}))

    with pytest.raises(ConfigUnavailable, match="did not confirm"):
        await writer.change(increment)

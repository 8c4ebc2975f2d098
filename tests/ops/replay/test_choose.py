"""The log comes first, the store stands in for it, and what cannot be had is said."""

import pytest

from ops.query import Service
from ops.replay.checkpoint import ReplayState
from ops.replay.choose import LOG, STORE, choose
from ops.replay.plan import ReplayError, Span
from tests.ops.replay.stored import StoredSamples
from topology.settings import load_settings

SPAN = Span(1_000_000, 2_000_000, 60_000, 60_000)
NO_KAFKA = load_settings(kafka="127.0.0.1:1")


@pytest.fixture
def live() -> StoredSamples:
    return StoredSamples(Service("", ""), {"a": [(1, 1_500_000, 1.0)]})


async def test_the_store_stands_in_for_a_log_that_cannot_be_read(live: StoredSamples) -> None:
    """And the reason is said."""
    chosen = await choose(NO_KAFKA, SPAN, live, None, None)

    assert (chosen.name, chosen.n_partitions) == (STORE, 1)
    assert "127.0.0.1:1" in (chosen.note or "")


async def test_nothing_stands_in_for_what_was_asked_for(live: StoredSamples) -> None:
    with pytest.raises(ReplayError, match="no answer from Kafka"):
        await choose(NO_KAFKA, SPAN, live, LOG, None)
    with pytest.raises(ReplayError, match="no answer from Kafka"):
        await choose(NO_KAFKA, SPAN, None, None, None)
    with pytest.raises(ReplayError, match="does not answer"):
        await choose(NO_KAFKA, SPAN, None, STORE, None)


async def test_a_replay_goes_on_with_the_source_that_it_began_with(live: StoredSamples) -> None:
    """With the ranges that its offsets are of, too."""
    state = ReplayState(STORE, 1_000_000, 2_000_000, 4, {0: 2})

    chosen = await choose(NO_KAFKA, SPAN, live, LOG, state)
    records = [record async for record in chosen.source.records()]

    assert (chosen.name, chosen.n_partitions) == (STORE, 4)
    assert [record.partition for record in records] == [1, 2, 3]

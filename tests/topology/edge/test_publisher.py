"""The publisher without a broker that answers."""

import asyncio

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from pipeline.known_series import KnownSeries
from tests.topology.running import make_context
from topology.edge import publisher
from topology.edge.intake import Intake
from topology.settings import load_settings
from topology.tenants import Tenant


def intake() -> Intake:
    ids = np.array([1, 2], dtype=np.uint64)
    return Intake(Tenant("t", "pro", 30), ids, np.array([1, 2]), np.array([1.0, 2.0]))


async def test_requests_that_wait_are_told_apart_though_they_are_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One left by its client still stands in the queue when the next is taken back."""
    monkeypatch.setattr(publisher, "ACK_TIMEOUT_S", 0.05)
    producer = AIOKafkaProducer()
    waiting = publisher.Publisher(make_context("edge", load_settings()), producer, KnownSeries(10))
    left = asyncio.create_task(waiting.publish(intake()))
    await asyncio.sleep(0)
    left.cancel()

    with pytest.raises(publisher.Unavailable, match="did not acknowledge"):
        await waiting.publish(intake())
    await producer.stop()

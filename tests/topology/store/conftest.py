"""One embedded engine for the session: a process can open one path only. Tests differ by tenant."""

from collections.abc import AsyncIterator, Iterator

import pytest

from ops import migrate
from tests.topology.store.archiving import Bench
from tests.topology.store.rows import new_tenant
from topology.producer import make_producer
from topology.settings import Settings
from topology.store.client import Engine, Limits
from topology.store.engine_config import Bounds
from topology.topics import ensure_topics


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with all migrations applied; its limits are small, so that tests can reach them."""
    path = tmp_path_factory.mktemp("store") / "chdb"
    limits = Limits(timeout_s=2, memory_bytes=256 << 20, max_rows=10_000)
    opened = Engine(f"chdb://{path}", limits, bounds=Bounds(768 << 20), max_readers=4)
    migrate.apply(opened.writer)
    yield opened
    opened.close()


@pytest.fixture
def tenant() -> str:
    """Name of a tenant of the test's own."""
    return new_tenant()


@pytest.fixture
async def bench(own_settings: Settings, engine: Engine, tenant: str) -> AsyncIterator[Bench]:
    await ensure_topics(own_settings)
    producer = make_producer(own_settings)
    await producer.start()
    yield Bench(own_settings, engine, producer, tenant)
    await producer.stop()

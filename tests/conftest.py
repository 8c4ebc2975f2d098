"""Fixtures of the whole suite: one real Kafka per session, and what keeps its users apart."""

import asyncio
import fcntl
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from ops.broker.files import ensure_files
from ops.broker.process import prepare, wait_answering
from ops.kernels import drop_stale
from ops.ports import free_base_port
from ops.supervise.child import die_with_parent
from pipeline import salt
from pipeline.warm import compile_all
from topology.settings import Settings, load_settings

START_S, STOP_S = 60, 10

hypothesis.settings.register_profile("dev", deadline=None)
# The same examples in each run: a failure in CI is one of the change, not of the dice.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# At which minute a series is announced again depends on the secret: no dice here either.
salt._SECRET = bytes(16)

# Before any kernel is loaded.
drop_stale()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests, so that processes side by side end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings that name a running broker as external one (`kafka_bootstrap` is its address)."""
    _compile_first(tmp_path_factory.getbasetemp().parent)
    embedded = load_settings(
        data_dir=tmp_path_factory.mktemp("kafka"), port=free_base_port(), kafka_heap="256m"
    )
    ensure_files(embedded.cache_dir)
    broker = subprocess.Popen(
        prepare(embedded), preexec_fn=die_with_parent(os.getpid()), start_new_session=True
    )
    try:
        asyncio.run(wait_answering(embedded.kafka_bootstrap, START_S))
        yield embedded.model_copy(update={"kafka": embedded.kafka_bootstrap})
    finally:
        broker.send_signal(signal.SIGTERM)
        try:
            broker.wait(STOP_S)
        except subprocess.TimeoutExpired:
            broker.kill()
            broker.wait()


def _compile_first(shared: Path) -> None:
    """Compile all kernels, one process at a time: the deadlines of tests are not for that.

    On a busy machine it takes minutes, but only once for each change of a kernel.
    """
    with (shared / "kernels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compile_all()


@pytest.fixture
def topic_prefix() -> str:
    """Prefix that makes a test's topics its own."""
    return f"test-{uuid.uuid4().hex[:12]}."


@pytest.fixture
def own_settings(kafka: Settings, topic_prefix: str, tmp_path: Path) -> Settings:
    """Settings of a deployment of the test's own: topics, data directory, ports."""
    return kafka.model_copy(
        update={
            "topic_prefix": topic_prefix,
            "data_dir": tmp_path / "data",
            "port": free_base_port(),
        }
    )

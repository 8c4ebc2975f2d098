"""The embedded broker as a child process."""

import asyncio
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.broker.files import ensure_files
from ops.broker.process import archive_file, is_answering, prepare, wait_answering
from ops.ports import free_base_port
from ops.supervise.child import die_with_parent
from schemas.topics import Topic
from topology.settings import Settings, load_settings
from topology.topics import ensure_topics

pytestmark = pytest.mark.broker

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    settings = load_settings(data_dir=tmp_path / "data", port=free_base_port(), kafka_heap="256m")
    ensure_files(settings.cache_dir)
    return settings


@pytest.fixture
def start(embedded: Settings) -> Iterator[Start]:
    """Starts a broker on the test's data directory; all are killed after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one() -> "subprocess.Popen[bytes]":
        broker = subprocess.Popen(prepare(embedded), preexec_fn=die_with_parent(os.getpid()))
        started.append(broker)
        return broker

    yield start_one
    for broker in started:
        broker.kill()
        broker.wait()


async def test_records_survive_kill_9_and_the_broker_returns_soon(
    embedded: Settings, start: Start
) -> None:
    """What was acknowledged is read after SIGKILL and a restart on the same directory."""
    bootstrap, topic = embedded.kafka_bootstrap, embedded.topic(Topic.SAMPLES)
    first = start()
    await wait_answering(bootstrap, 30)
    await ensure_topics(embedded)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    for number in range(10):
        await producer.send_and_wait(topic, b"%d" % number, partition=2)
    await producer.stop()

    first.kill()
    first.wait()
    assert not await is_answering(bootstrap)
    began_s = time.monotonic()
    start()
    await wait_answering(bootstrap, 30)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 2)])
    async with asyncio.timeout(30):
        values = [(await consumer.getone()).value for _ in range(10)]
    took_s = time.monotonic() - began_s
    await consumer.stop()

    assert values == [b"%d" % number for number in range(10)]
    # 5 s on two idle cores; Kafka's defaults would make it 14 s there.
    assert took_s < 12


def test_sigterm_ends_it_cleanly(embedded: Settings, start: Start) -> None:
    """Exit by the signal within seconds, and the storage marked as cleanly shut down."""
    broker = start()
    asyncio.run(wait_answering(embedded.kafka_bootstrap, 30))

    broker.send_signal(signal.SIGTERM)

    assert broker.wait(10) == 128 + signal.SIGTERM
    assert (embedded.data_dir / "kafka" / "log" / ".kafka_cleanshutdown").exists()


def test_the_storage_is_formatted_once(embedded: Settings) -> None:
    """A second start keeps the cluster's identity and takes over new settings."""
    prepare(embedded)
    identity = (embedded.data_dir / "kafka" / "log" / "meta.properties").read_text()

    moved = embedded.model_copy(update={"port": embedded.port + 100})
    prepare(moved)

    folder = embedded.data_dir / "kafka"
    assert (folder / "log" / "meta.properties").read_text() == identity
    assert f"PLAINTEXT://127.0.0.1:{moved.port + 11}" in (folder / "server.properties").read_text()


def test_a_cluster_id_may_begin_with_a_dash(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in 64 does, and was taken for an option."""
    dashed = uuid.UUID(bytes=b"\xfb" * 16)
    monkeypatch.setattr(uuid, "uuid4", lambda: dashed)

    prepare(embedded)

    properties = embedded.data_dir / "kafka" / "log" / "meta.properties"
    assert "cluster.id=-_v7" in properties.read_text()


def test_a_format_that_was_killed_is_done_again(embedded: Settings) -> None:
    """Half a storage directory stands in the way of nothing."""
    half = embedded.data_dir / "kafka.new" / "log"
    half.mkdir(parents=True)
    (half / "meta.properties").write_text("version=1\n")

    prepare(embedded)

    assert "cluster.id" in (embedded.data_dir / "kafka" / "log" / "meta.properties").read_text()


@pytest.mark.skipif(
    not archive_file(load_settings().cache_dir).exists(), reason="made by `observai setup`"
)
async def test_a_damaged_class_archive_costs_time_only(
    embedded: Settings, start: Start, tmp_path: Path
) -> None:
    """The JVM sees the damage and starts without the archive."""
    cache = tmp_path / "cache"
    home = archive_file(cache).parent
    home.mkdir(parents=True)
    (home / "libs").symlink_to(archive_file(embedded.cache_dir).parent / "libs")
    archive = bytearray(archive_file(embedded.cache_dir).read_bytes())
    for offset in range(1_000_000, len(archive) - 4096, 1_000_000):
        archive[offset : offset + 4096] = os.urandom(4096)
    archive_file(cache).write_bytes(archive)
    damaged = embedded.model_copy(update={"cache_dir": cache})
    broker = subprocess.Popen(prepare(damaged), preexec_fn=die_with_parent(os.getpid()))

    try:
        await wait_answering(damaged.kafka_bootstrap, 30)
    finally:
        broker.kill()
        broker.wait()

"""The number of partitions: shown, grown, and the growth checked until everybody follows it."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ops import api
from schemas.topics import PARTITIONED, Topic
from topology.settings import Settings
from topology.topics import count_partitions, grow_partitions

DEADLINE_S = 120.0
# Edges, workers and stores look every 5 to 10 s; the first checkpoint in a new partition follows.
POLL_S = 0.5
READERS = ("window", "archive")
_ADMIN_TIMEOUT_MS = 10_000
_GAUGE = re.compile(r"^observai_partitions ([0-9.]+)$", re.MULTILINE)


class PartitionsError(Exception):
    """The partitions cannot be shown or grown; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """What Kafka and the processes say.

    topics: number of partitions by topic. committed: by reader the offset on each partition of
    topic samples. processes: what each process of this `up` says to read or to spread over.
    """

    topics: dict[str, int]
    committed: dict[str, dict[int, int]]
    processes: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number that holds: that of topic samples."""
        return self.topics.get(Topic.SAMPLES, 0)

    def missing(self) -> list[str]:
        """Return what does not follow the number yet, in words; empty when all do."""
        wrong = [
            f"topic {topic} has {count}"
            for topic, count in self.topics.items()
            if topic in PARTITIONED and count != self.count
        ]
        wrong += [
            f"{name} spreads over {count}"
            for name, count in self.processes.items()
            if name.startswith("edge") and count != self.count
        ]
        for role in ("worker", "store"):
            together = sum(n for name, n in self.processes.items() if name.startswith(role))
            if self.processes and together != self.count:
                wrong.append(f"{role}s read {together}")
        for reader, offsets in self.committed.items():
            done = [number for number in range(self.count) if offsets.get(number, 0) > 0]
            if len(done) < self.count:
                wrong.append(f"{reader} has done records of {len(done)}")
        return wrong


async def look(settings: Settings, urls: Mapping[str, str]) -> Partitions:
    """Ask Kafka and the processes at these URLs, by their names. Raises PartitionsError."""
    admin = await connect(settings)
    try:
        topics = await count_partitions(admin, settings)
        committed = {reader: await _committed(admin, settings, reader) for reader in READERS}
    except KafkaError as error:
        raise PartitionsError(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from None
    finally:
        await admin.close()
    if Topic.SAMPLES not in topics:
        name = settings.topic(Topic.SAMPLES)
        raise PartitionsError(f"no topic {name} on {settings.kafka_bootstrap}: start `observai up`")
    said = {name: _n_partitions(url) for name, url in urls.items() if _counts(name)}
    return Partitions({topic.value: n for topic, n in topics.items()}, committed, said)


async def grow(settings: Settings, to: int) -> None:
    """Give all partitioned topics so many partitions. Raises PartitionsError."""
    admin = await connect(settings)
    try:
        counts = await count_partitions(admin, settings)
        if to < counts.get(Topic.SAMPLES, 0):
            raise PartitionsError(
                f"--grow {to}: there are {counts[Topic.SAMPLES]} already, and Kafka takes none away"
            )
        await grow_partitions(admin, settings, to)
    except KafkaError as error:
        raise PartitionsError(f"Kafka refuses {to} partitions: {error!r}") from None
    finally:
        await admin.close()


async def wait_followed(
    settings: Settings, urls: Mapping[str, str], to: int, say: Callable[[Sequence[str]], None]
) -> Partitions:
    """Return when all follow this number of partitions, or what is known at the deadline.

    say: told what is missing, each time it changes.
    """
    until_s = time.monotonic() + DEADLINE_S
    said: list[str] = []
    while True:
        found = await look(settings, urls)
        # A broker answers a growth before it shows the new partitions.
        is_shown = found.count == to
        missing = found.missing() if is_shown else [f"topic samples has {found.count}"]
        if missing != said:
            say(missing)
            said = missing
        if not missing or time.monotonic() > until_s:
            return found
        time.sleep(POLL_S)  # noqa: ASYNC251 - nothing else runs in this command


async def connect(settings: Settings) -> AIOKafkaAdminClient:
    """Return a client of the broker that the caller closes. Raises PartitionsError."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_ADMIN_TIMEOUT_MS
    )
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise PartitionsError(
            f"no answer from Kafka at {settings.kafka_bootstrap} ({error}). Is `observai up` "
            "running on this --data-dir? Elsewhere set OBSERVAI_KAFKA"
        ) from None
    return admin


async def _committed(admin: AIOKafkaAdminClient, settings: Settings, reader: str) -> dict[int, int]:
    found = await admin.list_consumer_group_offsets(f"{settings.topic_prefix}{reader}")
    samples = settings.topic(Topic.SAMPLES)
    return {tp.partition: at.offset for tp, at in sorted(found.items()) if tp.topic == samples}


def _counts(name: str) -> bool:
    return name.partition("-")[0] in {"edge", "worker", "store"}


def _n_partitions(url: str) -> int:
    """Return what a process says; 0 while it does not answer."""
    try:
        text = api.request("GET", f"{url}/metrics", timeout_s=5).body.decode()
    except OSError:
        return 0
    found = _GAUGE.search(text)
    return int(float(found[1])) if found else 0

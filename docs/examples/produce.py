"""Write samples to the pipeline's Kafka topics, past the edge: produce.py KAFKA TENANT.

Needs the packages aiokafka and xxhash, and nothing of this repository: the format is written
down in docs/record-format.md.
"""

import asyncio
import struct
import sys
import time
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer
from xxhash import xxh64_intdigest

PREFIX = "observai."
RETENTION_DAYS = 30  # as of the tenant: `observai tenant list`
SAMPLES, SERIES = 1, 2
GAUGE = 2
WORD = (1 << 64) - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9

Sample = tuple[int, int, float]  # series id, time in ms, value


def spread(h: int) -> int:
    """Spread every bit over the whole word: the last step of XXH64."""
    h = (h ^ h >> 33) * P2 & WORD
    h = (h ^ h >> 29) * P3 & WORD
    return h ^ h >> 32


def series_id(tenant: str, labels: Mapping[str, str]) -> int:
    """Return the id of a series; its labels include `__name__`."""
    total = xxh64_intdigest(tenant.encode())
    for name, value in labels.items():
        h = xxh64_intdigest(name.encode())
        h = (h << 27 | h >> 37) & WORD
        total += spread((h * P1 + xxh64_intdigest(value.encode())) & WORD)
    return spread(total & WORD) or 1


def partition_of(series: int, n_partitions: int) -> int:
    """Return the partition of a series, of both topics."""
    return (series >> 32) * n_partitions >> 32


def block(kind: int, version: int, tenant: str, n: int, columns: bytes) -> bytes:
    """Return a block of n rows."""
    name = tenant.encode()
    length = 24 + len(name) + len(columns)
    now_ms = time.time_ns() // 1_000_000
    head = (b"OA", kind, version, length, now_ms, n, RETENTION_DAYS, len(name))
    return struct.pack("<2sBBIqIHH", *head) + name + columns


def series_block(tenant: str, series: Sequence[Mapping[str, str]]) -> bytes:
    """Return the announcement of gauges without a unit."""
    n = len(series)
    ids = [series_id(tenant, labels) for labels in series]
    pairs = [pair for labels in series for pair in sorted(labels.items())]
    words = [word.encode() for pair in pairs for word in pair]
    columns = struct.pack(f"<{n}Q", *ids)
    columns += struct.pack(f"<{n}H", *map(len, series))
    columns += struct.pack(f"<{len(words)}I", *map(len, words)) + b"".join(words)
    columns += bytes([GAUGE] * n) + struct.pack(f"<{n}H", *[0] * n)
    return block(SERIES, 1, tenant, n, columns)


def samples_block(tenant: str, samples: Sequence[Sample], n_partitions: int) -> bytes:
    """Return samples; times and values are not packed (0)."""
    n = len(samples)
    ids, times_ms, values = zip(*samples, strict=True)
    columns = struct.pack("<BH", 0, n_partitions) + struct.pack(f"<{n}Q", *ids)
    columns += b"\0" + struct.pack(f"<{n}q", *times_ms)
    columns += b"\0" + struct.pack(f"<{n}d", *values)
    return block(SAMPLES, 2, tenant, n, columns)


async def produce(kafka: str, tenant: str, labels: Mapping[str, str], value: float) -> None:
    """Announce a series and write one sample of it, which was taken now."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        n_partitions = len(await producer.partitions_for(PREFIX + "samples"))
        series = series_id(tenant, labels)
        partition = partition_of(series, n_partitions)
        sample = (series, time.time_ns() // 1_000_000, value)
        # In this order: a sample whose series is not known yet has no labels until it is.
        for topic, record in (
            ("series", series_block(tenant, [labels])),
            ("samples", samples_block(tenant, [sample], n_partitions)),
        ):
            await producer.send_and_wait(PREFIX + topic, record, partition=partition)
    finally:
        await producer.stop()


if __name__ == "__main__":
    pressure = {"__name__": "pressure_pascals", "pump": "north"}
    asyncio.run(produce(sys.argv[1], sys.argv[2], pressure, 101325.0))

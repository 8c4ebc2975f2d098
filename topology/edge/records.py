"""From what several requests gave to the records of one flush, as few as the size limit allows."""

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.routing import split_by_partition
from pipeline.series_labels import take
from schemas.samples import MAX_BYTES_PER_SAMPLE, SampleBlock, encode_samples
from schemas.series import SeriesBlock, encode_series
from schemas.topics import Topic, partition_of
from topology.edge.intake import Intake
from topology.producer import MAX_RECORD_BYTES

MAX_SAMPLES_PER_BLOCK = (MAX_RECORD_BYTES - 1024) // (MAX_BYTES_PER_SAMPLE + 1)

Record = tuple[Topic, int, bytes]


def records_of(intakes: list[Intake], received_ms: int, n_partitions: int) -> Iterator[Record]:
    """Yield (topic, partition, record): announcements of series first, then the samples.

    Samples of one tenant share a block per partition, in the order of the intakes.
    """
    encoded = (
        (Topic.SERIES, _encode_series_blocks(intakes, n_partitions)),
        (Topic.SAMPLES, _encode_sample_blocks(intakes, received_ms, n_partitions)),
    )
    for topic, by_partition in encoded:
        for partition, blocks in enumerate(by_partition):
            for record in _join(blocks):
                yield topic, partition, record


def _encode_series_blocks(intakes: list[Intake], n_partitions: int) -> list[list[bytes]]:
    encoded: list[list[bytes]] = [[] for _ in range(n_partitions)]
    for intake in intakes:
        for announced in intake.new_series:
            for partition, block in _split_series(announced, n_partitions):
                encoded[partition] += _encode_below_limit(block)
    return encoded


def _encode_sample_blocks(
    intakes: list[Intake], received_ms: int, n_partitions: int
) -> list[list[bytes]]:
    encoded: list[list[bytes]] = [[] for _ in range(n_partitions)]
    for same_tenant in _by_tenant(intakes):
        for partition, block in _sample_blocks(same_tenant, received_ms, n_partitions):
            encoded[partition].append(encode_samples([block]))
    return encoded


def _by_tenant(intakes: list[Intake]) -> Iterable[list[Intake]]:
    groups: dict[str, list[Intake]] = {}
    for intake in intakes:
        groups.setdefault(intake.tenant.name, []).append(intake)
    return groups.values()


def _sample_blocks(
    intakes: list[Intake], received_ms: int, n_partitions: int
) -> Iterator[tuple[int, SampleBlock]]:
    columns = (
        np.concatenate([intake.series_ids for intake in intakes]),
        np.concatenate([intake.times_ms for intake in intakes]),
        np.concatenate([intake.values for intake in intakes]),
    )
    tenant = intakes[0].tenant
    head = (tenant.name, received_ms, tenant.retention_days)
    for partition, of_partition in enumerate(split_by_partition(*columns, n_partitions)):
        for at in range(0, len(of_partition[0]), MAX_SAMPLES_PER_BLOCK):
            cut = slice(at, at + MAX_SAMPLES_PER_BLOCK)
            ids, times_ms, values = of_partition
            part = (ids[cut], times_ms[cut], values[cut])
            marks = (tenant.sample_flags, n_partitions)
            yield partition, SampleBlock(*head, *part, *marks)


def _split_series(block: SeriesBlock, n_partitions: int) -> Iterator[tuple[int, SeriesBlock]]:
    partitions = partition_of(block.series_ids, n_partitions)
    for partition in np.unique(partitions).tolist():
        yield partition, take(block, np.flatnonzero(partitions == partition))


def _encode_below_limit(block: SeriesBlock) -> list[bytes]:
    """Encode a block, halved until each part is below the size of a record."""
    encoded = encode_series([block])
    if len(encoded) <= MAX_RECORD_BYTES or len(block) == 1:
        return [encoded]
    rows = np.arange(len(block))
    half = len(block) // 2
    return [
        *_encode_below_limit(take(block, rows[:half])),
        *_encode_below_limit(take(block, rows[half:])),
    ]


def _join(blocks: Iterable[bytes]) -> list[bytes]:
    """Join encoded blocks, in their order, into as few records as the size limit allows."""
    records: list[bytes] = []
    gathered: list[bytes] = []
    size = 0
    for block in blocks:
        if gathered and size + len(block) > MAX_RECORD_BYTES:
            records.append(b"".join(gathered))
            gathered, size = [], 0
        gathered.append(block)
        size += len(block)
    return [*records, b"".join(gathered)] if gathered else records

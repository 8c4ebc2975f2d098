"""The example of a direct Kafka producer, held against the code that reads its records."""

import runpy
import time
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hashing import series_id_of, tenant_hash
from schemas.block import VERSIONS, Kind, Packing
from schemas.samples import FINE_WINDOWS, SKETCHES, check_storable, decode_samples
from schemas.series import MetricType, decode_series
from schemas.topics import partition_of
from topology.producer import MAX_RECORD_BYTES

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE: dict[str, Any] = runpy.run_path(str(DOCS / "examples" / "produce.py"))
FORMAT = (DOCS / "record-format.md").read_text()

texts = st.text(max_size=40)
labels = st.dictionaries(texts, texts, max_size=4)


@given(texts, labels, st.integers(1, 1024))
def test_ids_and_partitions(tenant: str, of_series: dict[str, str], n_partitions: int) -> None:
    found = EXAMPLE["series_id"](tenant, of_series)

    assert found == series_id_of(tenant_hash(tenant), of_series)
    home = partition_of(np.array([found], dtype=np.uint64), n_partitions)
    assert EXAMPLE["partition_of"](found, n_partitions) == home[0]


@given(st.lists(labels, min_size=1, max_size=4))
def test_announcements_are_read_as_they_were_written(series: list[dict[str, str]]) -> None:
    (block,) = decode_series(EXAMPLE["series_block"]("acme", series))

    seed = tenant_hash("acme")
    assert (block.tenant, block.retention_days) == ("acme", 30)
    assert abs(block.receive_ms - time.time() * 1000) < 60_000
    assert block.labels() == series
    assert block.series_ids.tolist() == [series_id_of(seed, one) for one in series]
    assert block.types.tolist() == [MetricType.GAUGE] * len(series)


times = st.integers(0, 2**41)
rows = st.tuples(st.integers(1, 2**64 - 1), times, st.floats(width=64))


@given(st.lists(rows, min_size=1, max_size=5), st.integers(1, 1024))
def test_samples_are_read_as_they_were_written(
    samples: list[tuple[int, int, float]], n_partitions: int
) -> None:
    (block,) = decode_samples(EXAMPLE["samples_block"]("acme", samples, n_partitions))

    check_storable(block)
    ids, at, values = zip(*samples, strict=True)
    assert (block.series_ids.tolist(), block.times_ms.tolist()) == (list(ids), list(at))
    assert block.values.tobytes() == np.array(values).tobytes()
    assert (block.n_partitions, block.flags) == (n_partitions, 0)


def test_the_format_says_what_the_code_does() -> None:
    for kind in (Kind.SAMPLES, Kind.SERIES):
        assert f"{kind} {kind.name.lower()}" in FORMAT
        assert f"## {kind.name.capitalize()}, version {VERSIONS[kind]}" in FORMAT
    assert ", ".join(f"{kind} {kind.name.lower()}" for kind in MetricType) in FORMAT
    assert f"flags: {SKETCHES} quantile sketches, {FINE_WINDOWS} windows of 10 s" in FORMAT
    assert [f"| {one} |" in FORMAT for one in (Packing.RAW, Packing.CONSTANT)] == [True, True]
    assert f"{MAX_RECORD_BYTES:,} bytes" in FORMAT

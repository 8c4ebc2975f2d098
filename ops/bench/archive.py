"""How fast the embedded store takes rows, and what a row costs with its merges."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from aiokafka import TopicPartition

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.scrapes import STEP_MS, Scrapes
from ops.migrate import apply
from schemas.samples import SampleBlock, encode_samples
from schemas.topics import Topic
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.batch import FLUSH_ROWS, Batch
from topology.store.client import Engine, Limits
from topology.store.writer import Writer

NAME = "archive"
_SAMPLES_PER_RECORD = 25_000
_QUIET_S = 1.0
_QUIET_SHARE = 0.05
_MERGE_DEADLINE_S = 60.0


def run(plan: Plan) -> Measurement:
    """Measure in a process of its own: the engine's threads and memory stay out of this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        runs = [process.submit(_insert_all, plan, at).result() for at in range(plan.repeats)]
    return Measurement(
        [
            Figure(NAME, "records decoded and inserted", "rows/s", [one[0] for one in runs]),
            Figure(NAME, "CPU until merged", "us/row", [one[1] for one in runs]),
        ],
        {"rows_per_insert": FLUSH_ROWS},
    )


def _insert_all(plan: Plan, repeat: int) -> tuple[float, float]:
    """Insert scrapes into a new store; return rows per second, and CPU microseconds a row."""
    n_series = 10_000 if plan.is_quick else plan.series
    n_batches = 2 if plan.is_quick else 12
    records = _records(n_series, n_batches * FLUSH_ROWS, plan.seed + repeat)
    with tempfile.TemporaryDirectory(prefix="observai-bench-") as folder:
        engine = Engine(f"chdb://{Path(folder) / 'chdb'}", Limits())
        apply(engine.writer)
        writer = Writer(engine, Metrics(), now_ms)
        n_rows, began_s, began_cpu_s = 0, time.perf_counter(), time.process_time()
        for batch in _batches(records):
            writer.insert(batch)
            n_rows += batch.n_rows
        seconds = time.perf_counter() - began_s
        wait_merged()
        cpu_s = time.process_time() - began_cpu_s
        engine.close()
    return n_rows / seconds, cpu_s / n_rows * 1e6


def _batches(records: list[bytes]) -> Iterator[Batch]:
    batch = Batch(0.0)
    for offset, record in enumerate(records):
        batch.add(Topic.SAMPLES, TopicPartition("samples", 0), offset, record)
        if batch.n_rows >= FLUSH_ROWS:
            yield batch
            batch = Batch(0.0)
    if batch.n_rows:
        yield batch


def _records(n_series: int, n_samples: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 1 << 64, n_series, dtype=np.uint64)
    scrapes = Scrapes(n_series, rng)
    start_ms = now_ms() - n_samples // n_series * STEP_MS
    records = []
    for step in range(-(-n_samples // n_series)):
        values = scrapes.next()
        times = np.full(n_series, start_ms + step * STEP_MS)
        for at in range(0, n_series, _SAMPLES_PER_RECORD):
            cut = slice(at, at + _SAMPLES_PER_RECORD)
            block = SampleBlock("default", int(times[0]), 30, ids[cut], times[cut], values[cut])
            records.append(encode_samples([block]))
    return records


def wait_merged() -> None:
    """Return when this process uses next to no CPU: merges have ended."""
    until_s = time.monotonic() + _MERGE_DEADLINE_S
    while time.monotonic() < until_s:
        before_s = time.process_time()
        time.sleep(_QUIET_S)
        if time.process_time() - before_s < _QUIET_SHARE * _QUIET_S:
            return

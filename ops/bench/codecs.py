"""Bytes and CPU a sample by codec and sort order, on made-up scrapes and on the recording."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from ops.bench.archive import wait_merged
from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.scrapes import STEP_MS, Scrapes
from ops.demo.recording import read_recording
from ops.migrate import apply
from schemas.samples import SampleBlock
from topology.clock import now_ms
from topology.store.client import Engine, Limits
from topology.store.columns import samples_table

NAME = "codecs"
WANTED_BYTES = {"scrapes": 2.3, "jittered scrapes": None, "recording": 2.0}
_ROWS_PER_INSERT = 250_000
_SCRAPES_SERIES, _SCRAPES_STEPS = 20_000, 180
_JITTER_MS = 50
# Of stored_samples; what a variant does not name is as in the migrations.
_COLUMNS = ("series_id", "time", "value")


@dataclass(frozen=True, slots=True)
class Variant:
    """A name, and the codecs and the sort order in which it differs from the product's table."""

    name: str
    codecs: Mapping[str, str]
    order: str = "(tenant, series_id, time)"


SHIPPED = "shipped"
VARIANTS = [
    Variant(SHIPPED, {}),
    Variant("time DoubleDelta", {"time": "DoubleDelta, ZSTD(1)"}),
    Variant("value LZ4", {"value": "LZ4"}),
    Variant("value ZSTD(3)", {"value": "ZSTD(3)"}),
    Variant("value ZSTD(9)", {"value": "ZSTD(9)"}),
    Variant("value Delta", {"value": "Delta, ZSTD(1)"}),
    Variant("value Delta, ZSTD(3)", {"value": "Delta, ZSTD(3)"}),
    Variant("value Delta, LZ4", {"value": "Delta, LZ4"}),
    Variant("value Gorilla", {"value": "Gorilla, ZSTD(1)"}),
    Variant("value FPC", {"value": "FPC, ZSTD(1)"}),
    Variant("by time first", {}, "(tenant, time, series_id)"),
]


def run(plan: Plan) -> Measurement:
    """Insert each load into a table of each variant, merge it to one part, and look."""
    variants = VARIANTS[:2] if plan.is_quick else VARIANTS
    measured = Measurement()
    for load, wanted in WANTED_BYTES.items():
        # A process of its own: the engine's threads and memory stay out of this one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found = process.submit(_measure, load, variants, plan).result()
        for variant, (columns, cpu_us) in found.items():
            limit = wanted if variant == SHIPPED and not plan.is_quick else None
            name = f"{load}, {variant}"
            measured.figures += [
                Figure(NAME, name, "bytes/sample", [columns["all"]], at_most=limit),
                Figure(NAME, name, "CPU-us/sample", [cpu_us]),
            ]
            measured.facts[name] = columns
    return measured


def _measure(
    load: str, variants: list[Variant], plan: Plan
) -> dict[str, tuple[dict[str, float], float]]:
    """Return bytes a sample of each column, and CPU microseconds a sample, of each variant."""
    tables = list(_tables(load, plan))
    n_rows = sum(table.num_rows for table in tables)
    found = {}
    for variant in variants:
        with tempfile.TemporaryDirectory(prefix="observai-bench-") as folder:
            engine = Engine(f"chdb://{Path(folder) / 'chdb'}", Limits())
            apply(engine.writer)
            _shape(engine, variant)
            began_cpu_s = time.process_time()
            for table in tables:
                engine.writer.insert_arrow("measured", table)
            wait_merged()
            cpu_us = (time.process_time() - began_cpu_s) / n_rows * 1e6
            engine.writer.command("OPTIMIZE TABLE measured FINAL")
            found[variant.name] = _bytes_per_row(engine), cpu_us
            engine.close()
    return found


def _shape(engine: Engine, variant: Variant) -> None:
    """Make table `measured` like stored_samples but for what the variant changes."""
    engine.writer.command(
        "CREATE TABLE measured AS stored_samples ENGINE = ReplacingMergeTree "
        f"PARTITION BY (retention_days, toDate(time)) ORDER BY {variant.order}"
    )
    for column, codec in variant.codecs.items():
        if column not in _COLUMNS:
            raise ValueError(f"{column}: not one of {_COLUMNS}")
        engine.writer.command(f"ALTER TABLE measured MODIFY COLUMN {column} CODEC({codec})")


def _bytes_per_row(engine: Engine) -> dict[str, float]:
    """Return what a row takes on disk, in all and by column; a small part has no columns apart."""
    of_table = "database = currentDatabase() AND table = 'measured' AND active"
    rows = engine.writer.query(
        f"SELECT 'all', sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE {of_table} "  # noqa: S608 - constant
        "UNION ALL SELECT column, sum(column_bytes_on_disk) / sum(rows) "
        f"FROM system.parts_columns WHERE {of_table} GROUP BY column"
    ).result_rows
    return {str(name): float(size) for name, size in rows}


def _tables(load: str, plan: Plan) -> Iterator[pa.Table]:
    """Yield the load as the store inserts it."""
    columns = _recording(plan) if load == "recording" else _scrapes(load, plan)
    ids, times_ms, values = columns
    for at in range(0, len(ids), _ROWS_PER_INSERT):
        cut = slice(at, at + _ROWS_PER_INSERT)
        block = SampleBlock("default", now_ms(), 30, ids[cut], times_ms[cut], values[cut])
        yield samples_table([block])


def _scrapes(load: str, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_series = 1_000 if plan.is_quick else _SCRAPES_SERIES
    rng = np.random.default_rng(plan.seed)
    ids = rng.integers(1, 1 << 64, n_series, dtype=np.uint64)
    scrapes = Scrapes(n_series, rng)
    values = np.concatenate([scrapes.next() for _ in range(_SCRAPES_STEPS)])
    starts = now_ms() - np.arange(_SCRAPES_STEPS, 0, -1) * STEP_MS
    times_ms = np.repeat(starts, n_series)
    if load != "scrapes":
        times_ms += rng.integers(0, _JITTER_MS + 1, len(times_ms))
    return np.tile(ids, _SCRAPES_STEPS), times_ms, values


def _recording(plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    recording = read_recording().ending_at(now_ms())
    rng = np.random.default_rng(plan.seed)
    ids = rng.integers(1, 1 << 64, len(recording.labels), dtype=np.uint64)
    return ids[recording.series], recording.times_ms, recording.values

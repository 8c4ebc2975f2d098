"""The window stage's work: samples in, rollups out."""

from collections.abc import Mapping
from typing import Any

from pipeline.windows import PartitionWindows, WindowConfig
from schemas.checkpoints import WINDOWS, Checkpoint
from schemas.chunks import Format
from schemas.topics import Topic
from topology.budget import WorkerBudget
from topology.runtime import Context
from topology.worker.emission import LANES, records_of
from topology.worker.outbox import Outbox
from topology.worker.positions import Reading, Start, rewind_of_windows_ms
from topology.worker.reading import read_blocks


class WindowWork:
    """Feeds blocks of samples to the windows of their partition."""

    name = "window"
    topic = Topic.SAMPLES
    lanes: tuple[Topic, ...] = LANES
    form = WINDOWS
    beside: Format[Checkpoint] | None = None
    memory_part = "windows"
    ways = (
        ": start a build that can, or give the state up (`observai checkpoints --drop`, then start "
        "the workers again): the windows of that moment are then computed from the stored samples"
    )

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._budget = WorkerBudget.of(settings.memory_bytes, scores=settings.scores)
        self._config = WindowConfig(allowed_lateness_ms=settings.lateness_s * 1000)
        self.reading = Reading(Topic.SAMPLES, rewind_of_windows_ms(settings))

    def begin(
        self, partition: int, checkpoint: Checkpoint | None, start: Start, n_partitions: int
    ) -> PartitionWindows:
        """Return the windows of the checkpoint."""
        if start.is_blind:
            self._context.log.warning(
                "state incomplete: windows come from stored samples",
                partition=partition,
                offset=start.offset,
            )
        return PartitionWindows(
            self._config,
            checkpoint.windows if checkpoint else None,
            starts_blind=start.is_blind,
            max_bytes=self._budget.window_bytes(n_partitions),
        )

    async def assigned(
        self, engines: Mapping[int, PartitionWindows], starts: Mapping[int, Start]
    ) -> None:
        """Say how many partitions are read."""
        del starts
        self._context.metrics.partitions.set(len(engines))

    def read(self, payload: bytes, log_ms: int) -> list[Any]:
        """Return blocks of samples."""
        return read_blocks(payload, log_ms)

    async def prepare(self, partition: int, engine: PartitionWindows, blocks: list[Any]) -> None:
        """Do nothing: samples need nothing else."""

    def feed(
        self, engine: PartitionWindows, blocks: list[Any], outbox: Outbox, offset: int
    ) -> None:
        """Fold samples; hand over the windows that they have closed."""
        closed, n_bytes = engine.feed(blocks), 0
        for one in closed:
            width = f"{one.width_ms // 1000}s"
            self._context.metrics.windows_closed.labels(width).inc(len(one.rows))
            n_bytes += one.rows.rows.nbytes + one.rows.sketch.nbytes + one.stretches.nbytes
        if closed:
            outbox.add(n_bytes, records_of(closed, outbox.partition, offset))

    def snapshot(self, partition: int, engine: PartitionWindows, next_offset: int) -> Checkpoint:
        """Return the open windows."""
        del partition
        return Checkpoint(next_offset, engine.snapshot())

    def observe(self, partition: int, engine: PartitionWindows, last_receive_ms: int) -> None:
        """Tell of late samples, evicted series, and how far event time trails."""
        metrics = self._context.metrics
        slowest_ms = engine.slowest_watermark_ms()
        if slowest_ms is not None:
            behind_ms = last_receive_ms - slowest_ms
            metrics.watermark_lag.labels(str(partition)).set(behind_ms / 1000)
        metrics.late_samples.inc(engine.take_late())
        metrics.series_evicted.inc(engine.take_evicted())

"""The score stage's work: rollups in, scores out."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.scoring.partition import HOUR_MS, PartitionScores, ScoresConfig
from schemas.chunks import Format
from schemas.rollups import CloseBlock, RollupBlock, check_rollups, decode_rollups
from schemas.score_checkpoints import SCORES, WARMED, ScoresCheckpoint
from schemas.scores import ScoreBlock, encode_scores
from schemas.series import SeriesBlock
from schemas.topics import Topic
from topology.anomaly_rules import TenantRules, read_rules
from topology.budget import WorkerBudget
from topology.clock import now_ms
from topology.runtime import Context
from topology.worker.emission import Record
from topology.worker.outbox import Outbox
from topology.worker.positions import Reading, Start
from topology.worker.series_feed import Announce, SeriesFeed

# A series' announcement is written together with its first samples, so it is there long before its
# first window is closed, unless Kafka was slow: then a record waits until it is so old.
_WAIT_MS = 5_000
_LOOK_S = 0.2
_ROWS_PER_RECORD = 12_000
_BYTES_PER_ROW = 64


class ScoreWork:
    """Feeds closed windows to the scores of their partition."""

    name = "score"
    topic = Topic.ROLLUPS
    lanes: tuple[Topic, ...] = (Topic.SCORES,)
    form = SCORES
    beside: Format[ScoresCheckpoint] | None = WARMED
    reading = Reading(Topic.ROLLUPS, may_begin_late=True)
    memory_part = "scores"
    ways = (
        ": start a build that can, or give the state up (`observai checkpoints --drop`, then start "
        "the workers again): series are then learned anew"
    )

    def __init__(self, context: Context, feed: SeriesFeed, tenants: TenantRules) -> None:
        settings = context.settings
        self._context = context
        self._feed = feed
        self._budget = WorkerBudget.of(settings.memory_bytes, scores=settings.scores)
        self._tenants = tenants
        self._rules = read_rules(settings.anomaly_rules).beside(tenants.specs())
        self._series_offsets: dict[int, int] = {}

    def rules_changed(self) -> None:
        """Take the rules that tenants have now; each engine does so with what it is given next."""
        self._rules = self._rules.beside(self._tenants.specs())

    def begin(
        self, partition: int, checkpoint: ScoresCheckpoint | None, start: Start, n_partitions: int
    ) -> PartitionScores:
        """Return the scores of the checkpoint."""
        del start
        settings = self._context.settings
        if checkpoint is not None:
            self._rules = self._rules.remembering(checkpoint.scores.rules.values())
        config = ScoresConfig(
            self._rules,
            settings.scores_stored_from,
            settings.scores_forget_hours * HOUR_MS,
            self._budget.score_bytes(n_partitions),
        )
        engine = PartitionScores(config)
        self._series_offsets[partition] = 0
        if checkpoint is not None:
            lost = engine.restore(checkpoint.scores)
            if lost is not None:
                self._context.log.warning(
                    "models are learned anew",
                    partition=partition,
                    reason=lost,
                    remedy="observai anomaly warm",
                )
            if not engine.needs_announcements(checkpoint.scores):
                self._series_offsets[partition] = checkpoint.series_offset
        return engine

    async def assigned(
        self, engines: Mapping[int, PartitionScores], starts: Mapping[int, Start]
    ) -> None:
        """Read all announcements that are not in the engines yet."""
        del starts
        announce = {number: self._announcing(engine) for number, engine in engines.items()}
        await self._feed.follow(announce, self._series_offsets)

    def _announcing(self, engine: PartitionScores) -> Announce:
        def announce(block: SeriesBlock) -> None:
            engine.replace_rules(self._rules)
            engine.announce(block)

        return announce

    def read(self, payload: bytes, log_ms: int) -> list[Any]:
        """Return closed windows and closes; what else stands in the topic is not for this stage."""
        del log_ms
        blocks = [
            one for one in decode_rollups(payload) if isinstance(one, RollupBlock | CloseBlock)
        ]
        for block in blocks:
            if isinstance(block, RollupBlock):
                check_rollups(block)
        return blocks

    async def prepare(self, partition: int, engine: PartitionScores, blocks: list[Any]) -> None:
        """Wait until the series of the windows are known."""
        if not engine.n_unknown(blocks):
            return
        # A receive time may be ahead of this clock.
        until_ms = min(now_ms(), max(one.receive_ms for one in blocks)) + _WAIT_MS
        while engine.n_unknown(blocks):
            if now_ms() >= until_ms and self._feed.is_caught_up(partition):
                return
            await self._feed.news(_LOOK_S)

    def feed(self, engine: PartitionScores, blocks: list[Any], outbox: Outbox, offset: int) -> None:
        """Judge windows; hand over their scores."""
        del offset
        engine.replace_rules(self._rules)
        found = engine.feed(blocks)
        if found:
            n_bytes = _BYTES_PER_ROW * sum(map(len, found))
            outbox.add(n_bytes, _records_of(found))

    def snapshot(
        self, partition: int, engine: PartitionScores, next_offset: int
    ) -> ScoresCheckpoint:
        """Return series and models."""
        return ScoresCheckpoint(next_offset, self._feed.next_offset(partition), engine.snapshot())

    def observe(self, partition: int, engine: PartitionScores, last_receive_ms: int) -> None:
        """Tell what became of windows and series."""
        del last_receive_ms
        metrics, counts = self._context.metrics.scores, engine.take_counts()
        metrics.windows_scored.inc(counts["scored"])
        metrics.windows_unscored.inc(counts["unknown"])
        metrics.series_evicted.inc(counts["evicted"])
        for state in ("learning", "learned", "left_out", "no_room"):
            gauge = metrics.series.labels(str(partition), state)
            gauge.set(engine.n_series()[state])


def _records_of(blocks: list[ScoreBlock]) -> Iterator[Record]:
    """Yield records of a bounded size."""
    together: list[ScoreBlock] = []
    n_rows = 0
    for block in blocks:
        for first in range(0, len(block), _ROWS_PER_RECORD):
            piece = block.cut(first, first + _ROWS_PER_RECORD)
            if together and n_rows + len(piece) > _ROWS_PER_RECORD:
                yield Topic.SCORES, encode_scores(together)
                together, n_rows = [], 0
            together.append(piece)
            n_rows += len(piece)
    if together:
        yield Topic.SCORES, encode_scores(together)

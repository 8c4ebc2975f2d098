"""Scores of one partition: which series it has, their models, and what closed windows give.

A function of what it is fed: announcements of series and blocks of rollups, each in the order of
its topic. A window is judged where its series was announced no later than the record came that
closed the window; so it does not matter how much earlier than it was needed one was read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

import numpy as np

from pipeline.anomaly.scorer import UnknownVersion
from pipeline.scoring import minutes
from pipeline.scoring.minutes import Minutes
from pipeline.scoring.models import Room
from pipeline.scoring.rules import WIDTHS_S, SeriesRules
from pipeline.scoring.series_table import BYTES_PER_SERIES
from pipeline.scoring.width import WidthScores
from schemas.rollups import CloseBlock, RollupBlock
from schemas.score_checkpoints import ScoresState
from schemas.scores import ScoreBlock
from schemas.series import SeriesBlock

HOUR_MS = 3_600_000
# Parts of what it may hold: for the records of series, in all widths, and for minutes that wait.
_TABLE_PART, _MINUTES_PART = 2 / 9, 1 / 16
# Of the records of series in a snapshot; another one is not taken.
_LAYOUT = 3


@dataclass(frozen=True, slots=True)
class ScoresConfig:
    """What a partition's engine is told.

    stored_from: a window with a lower score is not given out. forget_ms: series silent
    for longer are forgotten. max_bytes: what it may hold; another third while a snapshot is taken.
    """

    rules: SeriesRules = field(default_factory=SeriesRules)
    stored_from: float = 0.0
    forget_ms: int = 72 * HOUR_MS
    max_bytes: int = 1 << 40


class PartitionScores:
    """The score engine of one partition."""

    def __init__(self, config: ScoresConfig) -> None:
        self._config = config
        self._newest_ms = 0
        table_bytes = int(config.max_bytes * _TABLE_PART)
        minutes_bytes = int(config.max_bytes * _MINUTES_PART)
        self._minutes = Minutes(minutes_bytes)
        room = Room.of(config.max_bytes - table_bytes - minutes_bytes)
        max_series = max(table_bytes // BYTES_PER_SERIES // len(WIDTHS_S), 1)
        self._widths = {
            width_s: WidthScores(width_s, config.rules, room, max_series, config.forget_ms)
            for width_s in WIDTHS_S
        }

    def n_bytes(self) -> int:
        """Return the memory of series, models and minutes that wait."""
        return self._minutes.n_bytes() + sum(one.n_bytes() for one in self._widths.values())

    def announce(self, block: SeriesBlock) -> None:
        """Take announced series that check_series has passed."""
        values, rules = self._config.rules.choose(block)
        for width in self._widths.values():
            if self._config.rules.is_scored(block.tenant, width.width_s):
                width.announce(block, values, rules)

    def replace_rules(self, rules: SeriesRules) -> None:
        """Take rules that `beside` gave; each holds for a series announced from now on."""
        if rules is self._config.rules:
            return
        self._config = replace(self._config, rules=rules)
        for width in self._widths.values():
            width.replace_rules(rules)

    def n_unknown(self, blocks: Sequence[RollupBlock | CloseBlock]) -> int:
        """Return of how many windows the series is not known, though there is room for it."""
        rows = [block for block in blocks if isinstance(block, RollupBlock)]
        return sum(
            width.n_unknown(block) for block, width in self._scored(rows) if not width.is_full
        )

    def feed(self, blocks: Sequence[RollupBlock | CloseBlock]) -> list[ScoreBlock]:
        """Judge the windows of blocks; return those whose score is to be stored.

        A close completes windows of five minutes, which are made here of the minutes before it.
        """
        found: list[ScoreBlock] = []
        complete = self._scored(self._complete(blocks))
        for (receive_ms, _), alike in groupby(complete, key=_judged_together):
            some = list(alike)
            width = some[0][1]
            found += self._judge(width, [block for block, _ in some])
            self._newest_ms = max(self._newest_ms, receive_ms)
            for one in self._widths.values():
                one.forget(self._newest_ms)
        return [block for block in found if len(block)]

    def widths_of(self, tenant: str) -> list[int]:
        """Return the widths whose windows are scored."""
        return [width for width in self._widths if self._config.rules.is_scored(tenant, width)]

    def take_counts(self) -> Counter[str]:
        """Return what became of windows and series since the last call."""
        counts: Counter[str] = Counter()
        for width in self._widths.values():
            counts.update(width.counts)
            width.counts.clear()
        counts["unknown"] += self._minutes.n_forgotten
        self._minutes.n_forgotten = 0
        return counts

    def n_series(self) -> Counter[str]:
        """Return how many series are learning, learned, left_out and without room (no_room)."""
        found: Counter[str] = Counter()
        for width in self._widths.values():
            found.update(width.n_series())
        return found

    def snapshot(self) -> ScoresState:
        """Return all that `restore` needs."""
        rules = self._config.rules
        widths = [width.snapshot() for width in self._widths.values()]
        used = set().union(*(width.rules_used() for width in self._widths.values()))
        texts = {at: text for text, at in rules.index_of.items() if at in used}
        head = (_LAYOUT, self._newest_ms, rules.widths_digest)
        return ScoresState(*head, widths, self._minutes.snapshot(), texts)

    def needs_announcements(self, state: ScoresState) -> bool:
        """Return whether all announcements there are have to be read again after `restore`.

        So it is for series of another layout, and where other widths are scored, which know no
        series yet.
        """
        is_other = state.widths_digest != self._config.rules.widths_digest
        return state.layout != _LAYOUT or is_other

    def restore(self, state: ScoresState) -> str | None:
        """Take a snapshot; return what of it could not be taken and is learned anew, if anything.

        A series keeps its rule until it is announced again, also where no such rule holds any
        more: see SeriesRules.remembering; one that the table lacks is that of index 0.
        """
        if state.layout != _LAYOUT:
            return f"series of layout {state.layout}, this build knows {_LAYOUT}"
        self._newest_ms = state.newest_ms
        self._minutes.restore(state.minutes)
        index_of = self._config.rules.index_of
        indices = {at: index_of.get(text, 0) for at, text in state.rules.items()}
        lost = None
        for width in state.widths:
            try:
                self._widths[width.width_s].restore(width, indices)
            except UnknownVersion as error:
                lost = str(error)
        return lost

    def _complete(self, blocks: Sequence[RollupBlock | CloseBlock]) -> Iterator[RollupBlock]:
        """Yield the blocks, and what closes complete."""
        for block in blocks:
            has_coarse = self._config.rules.is_scored(block.tenant, minutes.WIDTH_S)
            if isinstance(block, RollupBlock):
                if has_coarse and block.width_s == minutes.MADE_OF_S:
                    self._minutes.hold(block)
                yield block
            elif has_coarse and block.width_s == minutes.WIDTH_S:
                made = self._minutes.take(block)
                if made is not None:
                    yield made

    def _scored(self, blocks: Iterable[RollupBlock]) -> Iterator[tuple[RollupBlock, WidthScores]]:
        for block in blocks:
            if self._config.rules.is_scored(block.tenant, block.width_s):
                yield block, self._widths[block.width_s]

    def _judge(self, width: WidthScores, blocks: list[RollupBlock]) -> Iterator[ScoreBlock]:
        """Yield what is to be stored of each block; all are judged at once, by as few calls."""
        scores, rows = width.feed(blocks)
        keep = np.flatnonzero(
            np.isfinite(scores.values) & (scores.scores >= self._config.stored_from)
        )
        if len(blocks) == 1:
            yield scores.take(keep)
            return
        ends = np.cumsum([len(block) for block in blocks])
        owners = np.searchsorted(ends, rows[keep], side="right")
        order = np.argsort(owners, kind="stable")
        in_order = scores.take(keep[order])
        bounds = np.searchsorted(owners[order], np.arange(len(blocks) + 1)).tolist()
        for block, (start, end) in zip(blocks, pairwise(bounds), strict=True):
            one = in_order.cut(start, end)
            yield replace(one, tenant=block.tenant, retention_days=block.retention_days)


def _judged_together(one: tuple[RollupBlock, WidthScores]) -> tuple[int, int]:
    block, _ = one
    return block.receive_ms, block.width_s

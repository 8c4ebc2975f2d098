"""Scores of one partition's windows of one width: series, their models, and room for both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.parameters import SHIPPED
from pipeline.anomaly.scores import Scores
from pipeline.hashing import tenant_hash
from pipeline.scoring.models import Models, Room
from pipeline.scoring.rounding import rounded, short
from pipeline.scoring.rules import SeriesRules
from pipeline.scoring.series_table import NO_MODEL, SERIES, SeriesTable, take_windows
from pipeline.scoring.values import Value
from pipeline.slots import NO_WINDOW
from schemas.rollups import RollupBlock, join_rollups
from schemas.score_checkpoints import WidthState
from schemas.scores import ScoreBlock
from schemas.series import MetricType, SeriesBlock

# What earlier builds wrote of a series that was to wait for its next announcement.
_UNTOLD = np.int64((1 << 63) - 1)
# Where room is needed, series silent for less than this keep theirs: others wait for it.
_LEAST_SILENT_MS = 600_000
_ROOM_AGAIN_MS = 60_000
_FORGET_EVERY_MS = 3_600_000


class WidthScores:
    """Series and models; counts: of windows and series, by what became of them."""

    def __init__(
        self, width_s: int, rules: SeriesRules, room: Room, max_series: int, forget_ms: int
    ) -> None:
        self.width_s = width_s
        self.counts: Counter[str] = Counter()
        self._rules = rules
        self._max_series = max_series
        self._forget_ms = forget_ms
        self._room = room
        self.table = SeriesTable()
        self.models = Models(rules.table, room)
        self._no_room_until_ms = 0
        self._forgotten_ms = 0

    def n_bytes(self) -> int:
        """Return the memory of series and models."""
        return self.table.n_bytes() + self.models.n_bytes()

    def announce(
        self, block: SeriesBlock, values: NDArray[np.uint8], rules: NDArray[np.int32]
    ) -> None:
        """Take announced series, and what the rules choose for them."""
        at = self.table.find(block.series_ids, _tenants_of([block]))
        is_new = at < 0
        self._change(block, at, values, rules)
        _, firsts = np.unique(block.series_ids[is_new], return_index=True)
        firsts = np.flatnonzero(is_new)[np.sort(firsts)]
        n_left = self._max_series - self.table.n
        if len(firsts) > n_left:
            self._forget_silent(block.receive_ms, len(firsts) - n_left)
            n_left = max(self._max_series - self.table.n, 0)
            self.counts["series_refused"] += max(len(firsts) - n_left, 0)
            firsts = firsts[:n_left]
        new = np.zeros(len(firsts), dtype=SERIES)
        new["series_id"], new["tenant"] = block.series_ids[firsts], tenant_hash(block.tenant)
        new["known_ms"] = new["seen_ms"] = block.receive_ms
        new["window_ms"] = NO_WINDOW
        new["model"] = NO_MODEL
        new["value"], new["rule"] = values[firsts], rules[firsts]
        self.table.add(new)

    def replace_rules(self, rules: SeriesRules) -> None:
        """Take other rules of the same indices; each holds for a series announced from now on."""
        self._rules = rules
        self.models.replace_rules(rules.table)

    def n_unknown(self, block: RollupBlock) -> int:
        """Return of how many of a block's series no announcement has been read."""
        at = self.table.find(block.series_ids, _tenants_of([block]))
        return int((at < 0).sum())

    @property
    def is_full(self) -> bool:
        """Whether series are unknown because there is no room for them."""
        return self.table.n >= self._max_series

    def feed(self, blocks: Sequence[RollupBlock]) -> tuple[ScoreBlock, NDArray[np.int64]]:
        """Judge windows of tenants; return the scores there are, and of which rows, joined."""
        block = join_rollups(blocks)
        at = self.table.find(block.series_ids, _tenants_of(blocks))
        slots = np.empty(len(block), dtype=np.int64)
        values = np.full(len(block), np.nan)
        self._take(block, at, slots, values)
        self.counts["unknown"] += self._n_not_known(block, at)
        judged = np.flatnonzero(slots >= 0)
        judged = judged[np.argsort(slots[judged], kind="stable")]
        block_times_s = block.window_starts_ms[judged] / 1000
        scores = rounded(self.models.update(slots[judged], block_times_s, values[judged]))
        self._fill_learning(scores, self.table.series["rule"][at[judged]])
        is_finite = np.isfinite(values[judged])
        is_learning = scores.learning_s > 0
        self.table.series["is_learning"][at[judged][is_finite]] = is_learning[is_finite]
        self.counts["scored"] += int((is_finite & ~is_learning).sum())
        return _block_of(block, judged, short(values[judged]), scores), judged

    def _n_not_known(self, block: RollupBlock, at: NDArray[np.int64]) -> int:
        """Return how many windows are of series not known when they were closed."""
        series = self.table.series
        known = at[at >= 0]
        is_later = series["known_ms"][known] > block.receive_ms
        is_later &= series["value"][known] != Value.NONE
        return len(at) - len(known) + int(is_later.sum())

    def _fill_learning(self, scores: Scores, rules: NDArray[np.int32]) -> None:
        """Set how long first windows' series will learn: here it is known how long a window is."""
        firsts = np.flatnonzero(np.isinf(scores.learning_s))
        if len(firsts):
            left_s = [
                max(max(SHIPPED.warm, rule.least_windows) * self.width_s, rule.least_s)
                for rule in self._rules.table
            ]
            scores.learning_s[firsts] = np.array(left_s)[rules[firsts]]

    def forget(self, now_ms: int) -> None:
        """Forget series silent for too long, once an hour by the time given."""
        if now_ms - self._forgotten_ms >= _FORGET_EVERY_MS:
            self._forgotten_ms = now_ms
            gone = self.table.series["seen_ms"] < now_ms - self._forget_ms
            self._drop(gone)

    def n_series(self) -> Counter[str]:
        """Return how many series are learning, have learned, are not to be scored, had no room."""
        series = self.table.series
        has_model = series["model"] >= 0
        is_left_out = series["value"] == Value.NONE
        n_learning = int((has_model & (series["is_learning"] != 0)).sum())
        without = ~has_model & ~is_left_out & (series["window_ms"] != NO_WINDOW)
        return Counter(
            learning=n_learning,
            learned=int(has_model.sum()) - n_learning,
            left_out=int(is_left_out.sum()),
            no_room=int(without.sum()),
        )

    def snapshot(self) -> WidthState:
        """Return all that `restore` needs."""
        times = (self._no_room_until_ms, self._forgotten_ms)
        return WidthState(self.width_s, *times, self.table.series.tobytes(), self.models.snapshot())

    def rules_used(self) -> set[int]:
        """Return the indices of rules that series refer to."""
        return set(np.flatnonzero(np.bincount(self.table.series["rule"])).tolist())

    def restore(self, state: WidthState, rules: Mapping[int, int]) -> None:
        """Take series and models of a snapshot.

        rules: of the snapshot's indices those that hold now, 0 for one that is not there. Raises
        UnknownVersion for models of another build; the series are taken then.
        """
        self._no_room_until_ms = state.no_room_until_ms
        self._forgotten_ms = state.forgotten_ms
        self.table = SeriesTable(np.frombuffer(state.series, dtype=SERIES))
        found = self.table.series
        found["known_ms"][found["known_ms"] == _UNTOLD] = 0
        before, at = np.unique(found["rule"], return_inverse=True)
        found["rule"] = np.array([rules.get(one, 0) for one in before.tolist()], dtype=np.int32)[at]
        has_model = found["model"] >= 0
        try:
            self.models.restore(state.shards, found["model"][has_model])
        except ValueError:
            found["model"] = NO_MODEL
            raise
        self.models.set_rules(found["model"][has_model], found["rule"][has_model])

    def _change(
        self,
        block: SeriesBlock,
        at: NDArray[np.int64],
        values: NDArray[np.uint8],
        rules: NDArray[np.int32],
    ) -> None:
        """Apply what announcements say of series that are there, where it is new."""
        series = self.table.series
        rows = np.flatnonzero(at >= 0)
        # Of two senders one may not know the type: that takes nothing back but other rules.
        has_type = block.types[rows] != MetricType.UNKNOWN
        rows = rows[has_type | (series["rule"][at[rows]] != rules[rows])]
        of = at[rows]
        other_value = series["value"][of] != values[rows]
        other_rule = series["rule"][of] != rules[rows]
        series["value"][of], series["rule"][of] = values[rows], rules[rows]
        series["known_ms"][of[other_value]] = block.receive_ms
        self._free_models(np.unique(of[other_value]))
        moved = of[other_rule & ~other_value]
        moved = moved[series["model"][moved] >= 0]
        self.models.set_rules(series["model"][moved], series["rule"][moved])

    def _take(
        self,
        block: RollupBlock,
        at: NDArray[np.int64],
        slots: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> None:
        done, models = 0, self.models
        may_wait = block.receive_ms >= self._no_room_until_ms
        while True:
            done, left = take_windows(
                self.table.series,
                at,
                done,
                block.receive_ms,
                block.width_s * 1000,
                block.window_starts_ms,
                block.counts,
                block.sums,
                block.mins,
                block.maxs,
                block.lasts,
                block.increases,
                models.free,
                models.n_free,
                may_wait,
                slots,
                values,
            )
            given = models.free[left : models.n_free]
            models.n_free = left
            if len(given):
                self._begin_models(at, slots, given)
            if done == len(block):
                return
            may_wait = self._make_room(block.receive_ms)

    def _begin_models(
        self, at: NDArray[np.int64], slots: NDArray[np.int64], given: NDArray[np.int32]
    ) -> None:
        series = self.table.series
        rows = at[at >= 0]
        rows = np.unique(rows[np.isin(series["model"][rows], given)])
        self.models.set_rules(series["model"][rows], series["rule"][rows])

    def _make_room(self, now_ms: int) -> bool:
        """Make slots free; False where that cannot be, for a while."""
        if self.models.add_shard():
            return True
        series = self.table.series
        may_go = (series["model"] >= 0) & (series["seen_ms"] < now_ms - _LEAST_SILENT_MS)
        candidates = np.flatnonzero(may_go)
        if not len(candidates):
            self._no_room_until_ms = now_ms + _ROOM_AGAIN_MS
            return False
        n_gone = -(-len(candidates) // 4)
        gone = candidates[np.argsort(series["seen_ms"][candidates], kind="stable")[:n_gone]]
        self.counts["evicted"] += len(gone)
        self._free_models(gone)
        return True

    def _forget_silent(self, now_ms: int, n_wanted: int) -> None:
        """Forget so many series or more, if so many are silent: those that are for longest."""
        series = self.table.series
        candidates = np.flatnonzero(series["seen_ms"] < now_ms - _LEAST_SILENT_MS)
        n_gone = min(len(candidates), max(n_wanted, self.table.n // 4))
        order = np.argsort(series["seen_ms"][candidates], kind="stable")
        gone = np.zeros(self.table.n, dtype=np.bool_)
        gone[candidates[order[:n_gone]]] = True
        self._drop(gone)

    def _drop(self, gone: NDArray[np.bool_]) -> None:
        if gone.any():
            self.counts["evicted"] += int((gone & (self.table.series["model"] >= 0)).sum())
            self._free_models(np.flatnonzero(gone))
            self.table.keep(~gone)

    def _free_models(self, at: NDArray[np.int64]) -> None:
        series = self.table.series
        with_model = at[series["model"][at] >= 0]
        if len(with_model):
            self.models.evict(series["model"][with_model].copy())
            series["model"][with_model] = NO_MODEL


def _tenants_of(blocks: Sequence[RollupBlock | SeriesBlock]) -> NDArray[np.uint64]:
    """Return the tenant of each row of blocks, or the one of all of them, as tenant_hash."""
    tenants = np.array([tenant_hash(block.tenant) for block in blocks], dtype=np.uint64)
    return tenants if len(blocks) == 1 else np.repeat(tenants, [len(block) for block in blocks])


def _block_of(
    block: RollupBlock, rows: NDArray[np.int64], values: NDArray[np.float64], scores: Scores
) -> ScoreBlock:
    columns: tuple[Any, ...] = (
        *(block.window_starts_ms[rows], block.series_ids[rows], values),
        *(scores.expected, scores.lower, scores.upper),
        *(scores.score, scores.alarm, scores.learning_s, scores.reason),
    )
    head = (block.tenant, block.receive_ms, block.retention_days, block.width_s)
    return ScoreBlock(*head, *columns)

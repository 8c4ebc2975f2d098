"""Applies batches to the store: insert, then the work on windows that is ready. Knows no Kafka."""

import time
from collections.abc import Callable, Iterator
from functools import partial

from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.topics import Topic
from topology.store.batch import Batch
from topology.store.coarse import Closes, closes_of
from topology.store.progress import Progress
from topology.store.refused import Refused
from topology.store.stretch_parts import parts_of
from topology.store.tasks import Task
from topology.store.writer import Writer

# A round works on windows for so long, and at least one step: the next batch must not wait.
LIVE_S, BACKFILL_S = 0.5, 0.25

# Blocking; may be called again after an error.
Step = Callable[[], None]


class Applier:
    """Applies one batch after the other, in steps, so that the caller can retry each by itself.

    In this order: 1. insert all rows; 2. live marks and closes, as their partitions give them;
    3. backfill. What does not fit a round's time is gone on with in the next one.
    """

    def __init__(
        self,
        writer: Writer,
        progress: Progress,
        clock_s: Callable[[], float] = time.monotonic,
        live_s: float = LIVE_S,
        backfill_s: float = BACKFILL_S,
    ) -> None:
        self._writer = writer
        self._progress = progress
        self._clock_s = clock_s
        self._lanes = {Topic.ROLLUPS: live_s, Topic.RECOMPUTE: backfill_s}
        self._running: dict[Topic, Iterator[Step]] = {}
        self._has_begun = False
        self._refused: list[Refused] = []

    def apply(self, batch: Batch) -> list[Refused]:
        """Do all steps of a round; return rows that the store refused."""
        for step in self.steps(batch):
            step()
        return self.take_refused()

    def steps(self, batch: Batch) -> Iterator[Step]:
        """Yield the steps of a round; one must have succeeded before the next is asked for."""
        if not self._has_begun:
            yield self._writer.catch_up
            self._has_begun = True
        yield partial(self._insert, batch)
        self._progress.stored(batch)
        for lane, seconds in self._lanes.items():
            until_s = self._clock_s() + seconds
            for step in self._steps_of(lane):
                yield step
                if self._clock_s() >= until_s:
                    break

    def has_work(self) -> bool:
        """Whether a round would find work on windows."""
        return bool(self._running) or any(map(self._progress.has_ready, self._lanes))

    def take_refused(self) -> list[Refused]:
        """Return what the store refused since the last call."""
        refused, self._refused = self._refused, []
        return refused

    def recover(self) -> None:
        """Make a step that has failed fit to be done again."""
        self._writer.renew()

    def clear(self) -> None:
        """Forget what is half done: whoever owns the partitions next begins it again."""
        self._running.clear()
        self._refused.clear()
        self._has_begun = False

    def _insert(self, batch: Batch) -> None:
        self._refused = self._writer.insert(batch)

    def _steps_of(self, lane: Topic) -> Iterator[Step]:
        """Yield a lane's steps from where the last round left it; ends when nothing is ready."""
        running = self._running.setdefault(lane, self._work_on(lane))
        for step in running:  # noqa: UP028 - `yield from` would end it when a round is left early
            yield step
        self._running.pop(lane, None)

    def _work_on(self, lane: Topic) -> Iterator[Step]:
        while tasks := self._progress.ready(lane):
            yield from self._steps_for(tasks)
            self._progress.done(tasks)

    def _steps_for(self, tasks: list[Task]) -> Iterator[Step]:
        blocks = [task.block for task in tasks]
        for part in parts_of([one for one in blocks if isinstance(one, RecomputeBlock)]):
            yield partial(self._writer.recompute, part)
        for closes in closes_of([one for one in blocks if isinstance(one, CloseBlock)]):
            pieces: list[Closes] = []
            yield partial(self._writer.split_closes, closes, pieces)
            for piece in pieces:
                yield partial(self._writer.make_coarse, piece)

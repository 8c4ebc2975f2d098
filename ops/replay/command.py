"""The whole of a replay: place and source, the run, the comparison, and what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.replay import checkpoint, tables
from ops.replay.checkpoint import ReplayState
from ops.replay.choose import LOG, STORE, Chosen, choose
from ops.replay.compare import Comparison
from ops.replay.judge import closed_in, judge
from ops.replay.live import Live
from ops.replay.log_source import LogSource
from ops.replay.plan import ReplayError, place_of, span_of
from ops.replay.run import Engines, Position, Run
from ops.replay.series import copy_announced, copy_stored
from ops.replay.source import Record, Source
from ops.replay.tables import REMEDY, Tables
from ops.times import show_time
from pipeline.windows import WindowConfig
from topology.budget import WorkerBudget
from topology.settings import Settings

__all__ = ["LOG", "STORE", "Outcome", "Replay", "ReplayError", "Wish"]

_SETTLE_EVERY_S, _SAY_EVERY_S = 1.0, 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for.

    source: LOG, STORE, or None for the log if it has all. settle_s: live windows follow their
    samples within seconds; what differs for longer than this is different.
    """

    from_ms: int
    to_ms: int
    prefix: str
    source: str | None = None
    resume: bool = False
    overwrite: bool = False
    settle_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. Samples and seconds are those of this run; event_s: time they span."""

    prefix: str
    source: str
    store: str
    n_samples: int
    n_unreadable: int
    n_refused: int
    seconds: float
    event_s: float
    comparison: Comparison | None

    def samples_per_s(self) -> float:
        """Return samples a second, inserts included."""
        return self.n_samples / max(self.seconds, 1e-9)

    def times_real_speed(self) -> float:
        """Return seconds of event time a second."""
        return self.event_s / max(self.seconds, 1e-9)


class Replay:
    """One replay; live: the store to read and compare with, None where it does not answer."""

    def __init__(self, settings: Settings, wish: Wish, live: Live | None, say: Say) -> None:
        """Check the wish. Raises ReplayError."""
        self._settings = settings
        self._wish = wish
        self._live = live
        self._say = say
        self._config = WindowConfig(allowed_lateness_ms=settings.lateness_s * 1000)
        self._span = span_of(settings, self._config, wish.from_ms, wish.to_ms)
        self._place = place_of(settings, wish.prefix)
        self._say_after_s = 0.0

    async def run(self, *, compares: bool) -> Outcome:
        """Do it. Raises ReplayError, ApiError or StoreUnavailable."""
        state = self._begin()
        chosen = await choose(self._settings, self._span, self._live, self._wish.source, state)
        if chosen.note:
            self._say(chosen.note)
        own: Tables | None = None
        try:
            if self._wish.overwrite:
                tables.remove(self._place)
            own = Tables(self._place, is_new=state is None)
            return await self._run(chosen, own, state, compares=compares)
        finally:
            await chosen.source.close()
            if own is not None:
                own.close()

    def can_resume(self) -> bool:
        """Whether a checkpoint is there to go on with."""
        return checkpoint.exists(self._place.folder)

    def _begin(self) -> ReplayState | None:
        """Check that the place is free, or return where the replay there stopped."""
        wish, place, span = self._wish, self._place, self._span
        if not wish.resume:
            if place.folder.exists() and not wish.overwrite:
                raise ReplayError(f"{place.folder} exists: {REMEDY}")
            return None
        if wish.overwrite:
            raise ReplayError("--resume and --overwrite: one of them")
        state = checkpoint.load(place.folder)
        if (state.from_ms, state.to_ms) != (span.from_ms, span.to_ms):
            raise ReplayError(
                f"--resume: {place.prefix} was begun with --from {show_time(state.from_ms)} --to "
                f"{show_time(state.to_ms)}: give it these, or another name by --into"
            )
        return state

    async def _run(
        self, chosen: Chosen, own: Tables, state: ReplayState | None, *, compares: bool
    ) -> Outcome:
        budget = WorkerBudget.of(self._settings.memory_bytes, scores=False)
        makes = Engines(self._config, budget.window_bytes(chosen.source.n_open()))
        position = _position(state, makes)
        n_before = position.n_samples
        run = Run(self._span, makes, position, own.apply, self._saver(chosen))
        run.save()
        if chosen.name == LOG:
            await copy_announced(self._settings, self._span, own)
        elif self._live is not None:
            copy_stored(self._live, own)
        began_s = time.monotonic()
        await run.over(chosen.source, self._reporter(chosen.source, position))
        seconds = time.monotonic() - began_s
        comparison = await self._settle(chosen, run, own) if compares else None
        first_ms = max(position.first_ms, self._span.from_ms)
        event_ms = max(0, min(position.last_ms, self._span.to_ms) - first_ms)
        return Outcome(
            self._wish.prefix,
            chosen.name,
            self._place.store_url,
            position.n_samples - n_before,
            position.n_unreadable,
            own.n_refused,
            seconds,
            event_ms / 1000,
            comparison,
        )

    def _saver(self, chosen: Chosen) -> Callable[[Position], None]:
        def save(position: Position) -> None:
            state = ReplayState(
                chosen.name,
                self._span.from_ms,
                self._span.to_ms,
                chosen.n_partitions,
                dict(position.next_offsets),
                position.snapshot(),
                position.n_samples,
                position.n_unreadable,
                position.first_ms,
                position.last_ms,
            )
            checkpoint.save(self._place.folder, state)

        return save

    def _reporter(self, source: Source, position: Position) -> Callable[[Record], None]:
        began_s, n_before = time.monotonic(), position.n_samples

        def report(record: Record) -> None:
            now_s = time.monotonic()
            if now_s < self._say_after_s:
                return
            self._say_after_s = now_s + _SAY_EVERY_S
            speed = (position.n_samples - n_before) / max(now_s - began_s, 1e-3)
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.log_ms / 1000))
            self._say(
                f"{source.progress():4.0%}  at {at}Z, {position.n_samples:,} samples, "
                f"{speed:,.0f} a second"
            )

        return report

    async def _settle(self, chosen: Chosen, run: Run, own: Tables) -> Comparison:
        """Compare until nothing differs, or what differs has done so for long enough.

        The log goes on meanwhile, and late samples of the span may be among what comes.
        """
        assert self._live is not None
        until_s = time.monotonic() + self._wish.settle_s
        while True:
            closed_ms = closed_in(self._live, self._span)
            if isinstance(chosen.source, LogSource):
                closed_ms = run.position.closed_until_ms()
            self._say(f"comparing with {self._live.service.url}")
            found = judge(self._live, own.engine, self._span, closed_ms)
            if found.is_same() or not found.n_compared or time.monotonic() >= until_s:
                return found
            time.sleep(_SETTLE_EVERY_S)  # noqa: ASYNC251 - nothing else runs in this command
            if isinstance(chosen.source, LogSource):
                await chosen.source.extend()
                await run.over(chosen.source, lambda _: None)


def _position(state: ReplayState | None, makes: Engines) -> Position:
    if state is None:
        return Position()
    engines = {number: makes.restore(one) for number, one in state.engines.items()}
    counts = (state.n_samples, state.n_unreadable, state.first_ms, state.last_ms)
    return Position(dict(state.next_offsets), engines, *counts)

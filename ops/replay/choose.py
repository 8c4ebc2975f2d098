"""Which source a replay reads: the log while it has all, else the store."""

from dataclasses import dataclass

from ops.replay.checkpoint import ReplayState
from ops.replay.live import Live
from ops.replay.log_source import LogSource
from ops.replay.plan import ReplayError, Span
from ops.replay.source import Source
from ops.replay.store_source import StoreSource
from ops.times import show_time
from schemas.topics import Topic
from topology.settings import Settings

LOG, STORE = "log", "store"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An open source, its name, and into how many partitions it spreads series itself, or 0.

    note: why it is not the one that comes first.
    """

    name: str
    source: Source
    n_partitions: int = 0
    note: str | None = None


async def choose(
    settings: Settings, span: Span, live: Live | None, wanted: str | None, state: ReplayState | None
) -> Chosen:
    """Open the source wanted, or the one of the state, or the log if it can be.

    Raises ReplayError or ApiError.
    """
    wanted = state.source if state else wanted
    if wanted == STORE:
        return _open_store(span, live, state)
    try:
        return await _open_log(settings, span, state)
    except ReplayError as error:
        if wanted == LOG or live is None:
            raise
        chosen = _open_store(span, live, state)
        return Chosen(STORE, chosen.source, chosen.n_partitions, f"from the store: {error}")


async def _open_log(settings: Settings, span: Span, state: ReplayState | None) -> Chosen:
    source = LogSource(settings, Topic.SAMPLES)
    try:
        await source.open(span.begin_ms, state.next_offsets if state else {})
        if state is None and source.is_cut():
            raise ReplayError(
                f"{settings.topic(Topic.SAMPLES)} is needed from {show_time(span.begin_ms)} on and "
                "begins only after that: take --source store, or a later --from"
            )
    except BaseException:
        await source.close()
        raise
    return Chosen(LOG, source)


def _open_store(span: Span, live: Live | None, state: ReplayState | None) -> Chosen:
    if live is None:
        raise ReplayError("--source store: the store does not answer, is `observai up` running?")
    source = StoreSource(live, span)
    source.open(state.next_offsets if state else {}, state.n_partitions if state else 0)
    return Chosen(STORE, source, source.n_partitions)

"""What is to be replayed, and where it goes."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from ops.times import show_time
from pipeline.slots import LOOKBACK_MS
from pipeline.tenant_windows import AHEAD_MS
from pipeline.windows import WindowConfig
from schemas.samples import SampleBlock
from topology.settings import Settings
from topology.store.client import DATABASE, Engine, Limits
from topology.store.engine_config import Bounds

_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MARGIN_MS = 60_000


class ReplayError(Exception):
    """A replay cannot be done, or not like this; the text says why and what can be."""


@dataclass(frozen=True, slots=True)
class Span:
    """The windows to be replayed: those that begin and end in [from_ms, to_ms).

    The engine is given more: from before_ms earlier, so that it is sure of the first windows, and
    to after_ms later, so that the newest samples let the last ones close.
    """

    from_ms: int
    to_ms: int
    before_ms: int
    after_ms: int

    @property
    def begin_ms(self) -> int:
        """Event time, and time of arrival in the log, of the earliest that matters."""
        return max(0, self.from_ms - self.before_ms)

    def cut(self, blocks: list[SampleBlock]) -> list[SampleBlock]:
        """Return the samples that matter: blocks without any are left out, ticks stay.

        Of what comes after the span a block's newest sample stays, as it moves the watermark like
        all of them. Decided by a sample's time and block alone, so it is the same in any run.
        """
        kept = []
        for block in blocks:
            times_ms = block.times_ms
            is_in = (times_ms >= self.begin_ms) & (times_ms < self.to_ms + self.after_ms)
            if is_in.all():
                kept.append(block)
                continue
            newest = int(times_ms.argmax())
            is_in[newest] |= times_ms[newest] >= self.begin_ms
            if is_in.any():
                kept.append(_where(block, is_in))
        return kept


def span_of(settings: Settings, config: WindowConfig, from_ms: int, to_ms: int) -> Span:
    """Return the span of a replay, in whole seconds. Raises ReplayError for an empty one."""
    from_ms, to_ms = -(-from_ms // 1000) * 1000, to_ms // 1000 * 1000
    if from_ms >= to_ms:
        raise ReplayError(f"--from {show_time(from_ms)} is not before --to {show_time(to_ms)}")
    ahead_ms = max(AHEAD_MS, settings.max_future_s * 1000)
    before_ms = ahead_ms + LOOKBACK_MS + config.width_ms + _MARGIN_MS
    after_ms = config.allowed_lateness_ms + config.skew_ms + config.width_ms
    return Span(from_ms, to_ms, before_ms, after_ms)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a replay is kept: a store of its own and, beside it, its checkpoint."""

    prefix: str
    folder: Path
    store_url: str
    bounds: Bounds

    def open(self, limits: Limits) -> Engine:
        """Open the store, making it if missing. Raises StoreUnavailable."""
        return Engine(self.store_url, limits, bounds=self.bounds)


def place_of(settings: Settings, prefix: str) -> Place:
    """Return where a replay of this name is kept. Raises ReplayError for a wrong name."""
    if not _PREFIX.fullmatch(prefix):
        raise ReplayError(
            f"--into {prefix!r}: a name of lower-case letters, digits and _ such as replay_1"
        )
    folder = settings.data_dir.absolute() / "replays" / prefix
    bounds = Bounds.of(settings)
    if settings.store_url.startswith("chdb://"):
        return Place(prefix, folder, f"chdb://{folder / 'chdb'}", bounds)
    live = urlsplit(settings.store_url)
    # Beside the live one: no name given here can be that of somebody else's database.
    database = f"{live.path.strip('/') or DATABASE}_replay_{prefix}"
    return Place(prefix, folder, urlunsplit(live._replace(path=f"/{database}")), bounds)


def _where(block: SampleBlock, keep: np.ndarray) -> SampleBlock:
    return SampleBlock(
        block.tenant,
        block.receive_ms,
        block.retention_days,
        block.series_ids[keep],
        block.times_ms[keep],
        block.values[keep],
        block.flags,
        block.n_partitions,
    )

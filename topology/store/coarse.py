"""Windows of 5 minutes and of an hour, made of the next finer ones when these are complete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clickhouse_connect.driver.client import Client

from pipeline.coarsen import coarsen
from pipeline.rows import Rows
from schemas.rollups import CloseBlock
from topology.store.window_tables import Span, TenantRows, count_windows, read_windows

MINUTE_S = 60
# Of which each coarse width is made, in the order in which they must be.
FINER_S = {300: MINUTE_S, 3600: 300}

# Finer windows of one read, some 100 bytes each and 4 for each entry of a sketch.
MAX_FINER_ROWS = 500_000


@dataclass(frozen=True, order=True, slots=True)
class Closes:
    """Windows of several tenants that can be made together: of a width, time and range of ids."""

    width_s: int
    from_ms: int
    until_ms: int
    ids: tuple[int, int]
    retention_days: int
    tenants: tuple[str, ...]

    def span(self) -> Span:
        """Return which windows to read."""
        return Span(self.tenants, self.from_ms, self.until_ms, self.ids)


def closes_of(blocks: Sequence[CloseBlock]) -> list[Closes]:
    """Return the blocks' windows, finer widths first, in as few reads as can be.

    A read has a price of its own, and windows that are closed together are many: those of a
    tenant's partitions, of tenants, of hours that are sent within seconds.
    """
    closes = [
        Closes(
            *(one.width_s, one.from_ms, one.until_ms),
            (one.first_series_id, one.last_series_id),
            one.retention_days,
            (one.tenant,),
        )
        for one in blocks
    ]
    closes = _joined(closes, _times, lambda one: replace(one, from_ms=0, until_ms=0))
    closes = _joined(closes, _ids, lambda one: replace(one, ids=(0, 0)))
    return _joined(closes, _tenants, lambda one: replace(one, tenants=()))


def _joined(
    closes: Sequence[Closes],
    join: Callable[[Closes, Closes], Closes | None],
    alike: Callable[[Closes], Closes],
) -> list[Closes]:
    """Return closes in order, one for each two that are alike and that join makes one of."""
    found: list[Closes] = []
    for one in sorted(closes, key=lambda one: (alike(one), one)):
        both = join(found[-1], one) if found and alike(found[-1]) == alike(one) else None
        if both is None:
            found.append(one)
        else:
            found[-1] = both
    return found


def _times(first: Closes, second: Closes) -> Closes | None:
    if second.from_ms > first.until_ms:
        return None
    return replace(first, until_ms=max(first.until_ms, second.until_ms))


def _ids(first: Closes, second: Closes) -> Closes | None:
    if second.ids[0] > first.ids[1] + 1:
        return None
    return replace(first, ids=(first.ids[0], max(first.ids[1], second.ids[1])))


def _tenants(first: Closes, second: Closes) -> Closes | None:
    return replace(first, tenants=tuple(dict.fromkeys(first.tenants + second.tenants)))


def split(client: Client, closes: Closes) -> list[Closes]:
    """Divide the range of ids, which are hashes, so that each read is of a bounded size."""
    n_rows = count_windows(client, closes.span(), FINER_S[closes.width_s])
    n_pieces = -(-n_rows // MAX_FINER_ROWS)
    first, last = closes.ids
    bounds = [first + (last + 1 - first) * at // max(1, n_pieces) for at in range(n_pieces + 1)]
    return [replace(closes, ids=(start, end - 1)) for start, end in pairwise(bounds)]


def halves(closes: Closes) -> list[Closes]:
    """Return the same windows in two; the closes themselves where they are of one id."""
    first, last = closes.ids
    middle = (first + last) // 2
    parts = [(first, middle), (middle + 1, last)] if first < last else [closes.ids]
    return [replace(closes, ids=ids) for ids in parts]


def make(client: Client, closes: Closes) -> list[TenantRows]:
    """Return the windows, made of the stored finer ones."""
    finer = read_windows(client, closes.span(), FINER_S[closes.width_s])
    return [(tenant, coarsen_all(rows, closes.width_s * 1000)) for tenant, rows in finer]


def coarsen_all(finer: Rows, width_ms: int) -> Rows:
    """Return windows of width_ms of finer rows, sorted; of rows of count 0 one of count 0."""
    window_ms = finer.rows["window_ms"] // width_ms * width_ms
    return coarsen(finer, width_ms).with_empty(finer.rows["series_id"], window_ms)

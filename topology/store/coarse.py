"""Windows of 5 minutes and of an hour, made of the next finer ones when these are complete."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

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


def closes_of(blocks: Sequence[CloseBlock]) -> Iterator[Closes]:
    """Yield the blocks' windows, finer widths first, for as many tenants together as can be."""
    closes = sorted(
        Closes(
            *(one.width_s, one.from_ms, one.until_ms),
            (one.first_series_id, one.last_series_id),
            one.retention_days,
            (one.tenant,),
        )
        for one in blocks
    )
    for head, alike in groupby(closes, key=lambda one: replace(one, tenants=())):
        yield replace(head, tenants=tuple(sorted({one.tenants[0] for one in alike})))


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

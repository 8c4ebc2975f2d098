"""Computes windows again from the stored samples, and the coarser ones that hold them."""

from collections.abc import Callable

import numpy as np
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from pipeline.refold import refold
from pipeline.rows import Rows
from pipeline.stretches import covered
from schemas.samples import SKETCHES
from topology.store.coarse import FINER_S, MINUTE_S, coarsen_all
from topology.store.stretch_parts import Part, Stretches, lookback_from, span_ms
from topology.store.window_tables import Span, TenantRows, TenantSamples, read_samples, read_windows

# Samples of one read, 24 bytes each. A part with more is divided, a window with more is not.
MAX_SAMPLES = 500_000
_ALL_SAMPLES = 1 << 62

# Takes width in seconds, retention in days, and rows by tenant.
WriteWindows = Callable[[int, int, list[TenantRows]], None]


def recompute(client: Client, part: Part, write: WriteWindows) -> None:
    """Compute the part's windows, then the closed coarser ones that hold them.

    A window with nothing but stale markers left gets a row of count 0, so that one written before
    is no longer shown.
    """
    stretches = part.stretches()
    samples = read_samples(client, _samples_of(part, stretches), MAX_SAMPLES)
    if samples is None:
        halves = part.halves()
        if len(halves) > 1:
            for half in halves:
                recompute(client, half, write)
            return
        samples = read_samples(client, _samples_of(part, stretches), _ALL_SAMPLES) or []
    width_s = part.width_ms // 1000
    write(width_s, part.retention_days, [_refold(part, stretches, one) for one in samples])
    # Of windows of 10 s no coarser ones are made: they are a width of their own.
    for coarse_s in FINER_S if width_s == MINUTE_S else ():
        if coarse := part.coarser(coarse_s * 1000):
            write(coarse_s, part.retention_days, _coarsen(client, coarse, coarse_s))


def _samples_of(part: Part, stretches: dict[str, Stretches]) -> Span:
    first_ms, until_ms = span_ms(stretches, part.width_ms)
    ids = _series_ids(stretches)
    return Span(sorted(stretches), lookback_from(first_ms), until_ms, series_ids=ids)


def _series_ids(stretches: dict[str, Stretches]) -> NDArray[np.uint64]:
    return np.unique(np.concatenate([one["series_id"] for one in stretches.values()]))


def _refold(part: Part, stretches: dict[str, Stretches], samples: TenantSamples) -> TenantRows:
    tenant, ids, times_ms, values = samples
    rows = refold(ids, times_ms, values, part.width_ms, sketches=bool(part.flags & SKETCHES))
    wanted = stretches[tenant]
    rows = rows.where(covered(wanted, rows.rows["series_id"], rows.rows["window_ms"]))
    window_ms = times_ms // part.width_ms * part.width_ms
    is_wanted = covered(wanted, ids, window_ms)
    return tenant, rows.with_empty(ids[is_wanted], window_ms[is_wanted])


def _coarsen(client: Client, stretches: dict[str, Stretches], width_s: int) -> list[TenantRows]:
    width_ms = width_s * 1000
    span = Span(sorted(stretches), *span_ms(stretches, width_ms), series_ids=_series_ids(stretches))

    def of_tenant(tenant: str, finer: Rows) -> TenantRows:
        window_ms = finer.rows["window_ms"] // width_ms * width_ms
        is_wanted = covered(stretches[tenant], finer.rows["series_id"], window_ms)
        return tenant, coarsen_all(finer.where(is_wanted), width_ms)

    return [of_tenant(*one) for one in read_windows(client, span, FINER_S[width_s])]

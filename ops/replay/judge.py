"""Holds a replay's windows against those of the live store, piece by piece."""

from collections.abc import Mapping

from ops.replay.compare import Comparison
from ops.replay.live import Live, pieces, read_own
from ops.replay.plan import Span
from topology.store.client import Engine
from topology.store.export import Piece

WIDTHS_S = (10, 60, 300, 3600)
_DAY_MS = 86_400_000


def judge(live: Live, own: Engine, span: Span, closed_ms: Mapping[str, int]) -> Comparison:
    """Compare all tenants' windows that begin and end in the span.

    closed_ms: by tenant up to when windows are closed on both sides. Raises ApiError.
    """
    comparison = Comparison()
    for tenant, until_ms in sorted(closed_ms.items()):
        to_ms = min(span.to_ms, until_ms)
        for from_ms in range(span.from_ms, to_ms, _DAY_MS):
            for width_s in WIDTHS_S:
                # A window belongs to the piece that it begins in, also if it ends after that.
                begins_by_ms = min(from_ms + _DAY_MS + (width_s - 1) * 1000, to_ms)
                piece = Piece(tenant, from_ms, begins_by_ms, width_s=width_s)
                for part, rows in pieces(live.read, "rollups", piece):
                    comparison.add(rows, read_own(own, "rollups", part))
    return comparison


def closed_in(live: Live, span: Span) -> dict[str, int]:
    """Return by tenant up to when the live store has closed windows of the span, at least."""
    found = {}
    for tenant in live.tenants():
        facts = live.read("facts", Piece(tenant, span.from_ms, span.to_ms)).to_pylist()[0]
        found[tenant] = int(facts["closed_until_ms"])
    return found

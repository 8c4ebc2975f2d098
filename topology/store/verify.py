"""Whether stored windows equal the same aggregates over the stored samples, series by series."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from pipeline.sketch import (
    CODE_OFFSET,
    GAMMA,
    INFINITY_CODE,
    K_OFFSET,
    LN_GAMMA,
    MAX_CODES,
    MAX_COUNT,
    RELATIVE_ACCURACY,
)
from schemas.rollups import SKETCH_COUNT_BITS
from schemas.samples import STALE_MARKER_BITS
from topology.store.compare_sql import CHOOSE, COMPARE, NAMES, SAMPLES
from topology.store.queries import Queries

WIDTHS_S = (10, 60, 300, 3600)
# Of one comparison: its memory grows with them.
MAX_SERIES, MAX_RANGE_S, MAX_DIFFERENCES = 1_000, 26 * 3600, 1_000
MAX_ROWS = 100_000
# A live series is announced once an hour.
_ANNOUNCED_MS = 2 * 3_600_000

_CONSTANTS: dict[str, Any] = {
    "stale": int(STALE_MARKER_BITS),
    "never": -(1 << 60),
    # A sample's increase is counted from the one before it, if that is not older than this.
    "run_ms": 300_000,
    "rounding": 1e-9,
    # The bound is reached, so some rounding is allowed on top.
    "accuracy": RELATIVE_ACCURACY * (1 + 1e-6),
    "max_count": MAX_COUNT,
    "count_bits": SKETCH_COUNT_BITS,
    "code_offset": CODE_OFFSET,
    "infinity": INFINITY_CODE,
    "k_offset": K_OFFSET,
    "ln_gamma": LN_GAMMA,
    "middle": 2 * GAMMA / (GAMMA + 1),
    "max_codes": MAX_CODES,
    "max_differences": MAX_DIFFERENCES,
}


# The kind of a window that has a row and no samples.
EXTRA = "extra"


class WrongColumn(msgspec.Struct, frozen=True):
    """A column of a window, as it is stored and as the samples give it, in the engine's digits."""

    name: str
    stored: str
    expected: str


class Difference(msgspec.Struct, frozen=True):
    """A window that does not equal its samples. kind: missing, extra or different."""

    kind: str
    width_s: int
    start_s: int
    series_id: int
    columns: list[WrongColumn]
    metric: str = ""
    labels: dict[str, str] = {}


class Width(msgspec.Struct, frozen=True):
    """What was compared of one width."""

    width_s: int
    n_windows: int
    n_samples: int
    n_wrong: int

    def plus(self, other: "Width") -> "Width":
        """Return the sum of two comparisons of one width."""
        return Width(
            self.width_s,
            self.n_windows + other.n_windows,
            self.n_samples + other.n_samples,
            self.n_wrong + other.n_wrong,
        )


class Verdict(msgspec.Struct, frozen=True):
    """What a comparison found; differences: the first MAX_DIFFERENCES of each width."""

    widths: list[Width]
    differences: list[Difference]

    @property
    def n_unnamed(self) -> int:
        """How many windows differ that are not among the differences."""
        return sum(width.n_wrong for width in self.widths) - len(self.differences)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which windows to compare: of these series, begun and ended within [from_s, to_s].

    Seconds since 1970. All these windows must be closed: without a row they are missing.
    """

    tenant: str
    series_ids: Sequence[int]
    from_s: int
    to_s: int
    widths_s: Sequence[int] = WIDTHS_S

    def parameters(self) -> dict[str, Any]:
        """Return what the statement binds."""
        return {
            "tenant": self.tenant,
            "series_ids": list(self.series_ids),
            "from_s": self.from_s,
            "to_s": self.to_s,
            "widths": list(self.widths_s),
        } | _CONSTANTS


@dataclass(frozen=True, slots=True)
class Page:
    """Series in an order of their own: by series_id * factor + seed (modulo 2**64), past after."""

    limit: int
    factor: int = 1
    seed: int = 0
    after: int = 0


_Found = tuple[int, int, str, list[tuple[str, str, str]]]
_Rows = list[tuple[int, int, int, int, list[_Found]]]


class Verifier:
    """Runs the statements through the tenants' own handles: the engine shows no other's rows."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def compare(self, scope: Scope) -> Verdict:
        """Compare windows with their samples. Raises QueryFailed."""
        rows = await self._rows(scope.tenant, COMPARE, scope.parameters(), _Rows)
        found = [(width_s, one) for width_s, *_, ones in rows for one in ones]
        names = await self._names(scope.tenant, {one[0] for _, one in found})
        differences = [
            _difference(width_s, one, *names.get(one[0], ("", {}))) for width_s, one in found
        ]
        differences.sort(key=lambda one: (one.series_id, one.start_s, one.width_s))
        return Verdict([Width(*row[:4]) for row in rows], differences)

    async def choose(self, tenant: str, from_s: int, page: Page) -> list[int]:
        """Return ids of series that were alive after from_s, in the page's order."""
        parameters: dict[str, Any] = {"tenant": tenant, "seen_ms": from_s * 1000 - _ANNOUNCED_MS}
        parameters |= asdict(page)
        rows = await self._rows(tenant, CHOOSE, parameters, list[tuple[int]])
        return [series_id for (series_id,) in rows]

    async def samples(self, parameters: dict[str, Any]) -> bytes:
        """Return stored samples as an Arrow stream: series_id, time_ms and the value's bits."""
        return await self._queries.run(parameters["tenant"], SAMPLES, "arrow", parameters)

    async def _names(self, tenant: str, ids: set[int]) -> dict[int, tuple[str, dict[str, str]]]:
        if not ids:
            return {}
        kind = list[tuple[int, str, dict[str, str]]]
        rows = await self._rows(tenant, NAMES, {"series_ids": sorted(ids)}, kind)
        return {series_id: (metric, labels) for series_id, metric, labels in rows}

    async def _rows(self, tenant: str, sql: str, parameters: dict[str, Any], kind: Any) -> Any:
        body = await self._queries.run(tenant, sql, "json", parameters)
        return msgspec.convert(msgspec.json.decode(body)["rows"], kind)


def _difference(width_s: int, found: _Found, metric: str, labels: dict[str, str]) -> Difference:
    series_id, start_s, kind, columns = found
    wrong = [WrongColumn(*column) for column in columns]
    return Difference(kind, width_s, start_s, series_id, wrong, metric, labels)

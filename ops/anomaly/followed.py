"""The rules that a backtest of stored rollups follows: those that hold live, or others to try."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ops.query import Service
from pipeline.scoring.rules import RuleSpec, SeriesRules
from topology.anomaly_rules import read_rules

_PATH = "/api/v1/score-rules"


class BacktestError(Exception):
    """There is nothing to score, or no rules to do it by; the message says what to do."""


class _Held(msgspec.Struct):
    tenant: str
    rule: list[RuleSpec]
    widths: list[int]


@dataclass(frozen=True, slots=True)
class Followed:
    """Rules of a tenant."""

    tenant: str
    rules: SeriesRules

    def is_scored(self, width_s: int) -> bool:
        """Whether windows of this width are scored live."""
        return self.rules.is_scored(self.tenant, width_s)


def read_followed(service: Service, instead: Path | None = None) -> Followed:
    """Return the rules that workers follow for the key's tenant; instead: a file to be tried.

    Raises ApiError or BacktestError.
    """
    try:
        held = msgspec.json.decode(service.ask("GET", _PATH), type=_Held)
        if instead is not None:
            return Followed(held.tenant, read_rules(instead))
        return Followed(held.tenant, SeriesRules(held.rule, {held.tenant: held.widths}))
    except ValueError as error:
        raise BacktestError(f"rules: {error}") from None

"""Rules for scores: the operator's, read from their file, and those of tenants by the API."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pipeline.scoring.rules import RuleSpec, SeriesRules, parse_rules_of_tenant
from schemas.config import Entry, ScoreRulesRecord
from schemas.errors import InvalidRecord


def read_rules(file: Path | None) -> SeriesRules:
    """Return the rules of a TOML file, the shipped ones without. Raises ValueError."""
    if file is None:
        return SeriesRules()
    try:
        return SeriesRules.parse(tomllib.loads(file.read_text()))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


class TenantRules:
    """The rules of tenants as of the config records applied so far."""

    def __init__(self) -> None:
        self._records: dict[str, ScoreRulesRecord] = {}
        self._specs: dict[str, list[RuleSpec]] = {}

    def apply(self, tenant: str, entry: Entry | None) -> None:
        """Apply one entry, None to remove. Raises InvalidRecord for rules that this build lacks."""
        if not isinstance(entry, ScoreRulesRecord):
            self._records.pop(tenant, None)
            self._specs.pop(tenant, None)
            return
        try:
            specs = parse_rules_of_tenant(entry.rules)
        except ValueError as error:
            raise InvalidRecord(f"score rules of tenant {tenant!r}: {error}") from None
        self._records[tenant], self._specs[tenant] = entry, specs

    def of(self, tenant: str) -> ScoreRulesRecord:
        """Return what was published of a tenant, no rules if nothing was."""
        return self._records.get(tenant, ScoreRulesRecord(tenant))

    def specs(self) -> Mapping[str, list[RuleSpec]]:
        """Return all rules by tenant."""
        return self._specs

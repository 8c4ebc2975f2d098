"""SQL over the tables of a replay, as the store role answers it over its own."""

import asyncio
from dataclasses import dataclass

from ops.query import FORMATS, Table, table_of
from ops.replay.plan import ReplayError, place_of
from topology.settings import Settings
from topology.store.client import Engine, Limits
from topology.store.guard import RefusedStatement, check
from topology.store.queries import Queries, QueryFailed

_TENANTS = "SELECT DISTINCT tenant FROM stored_rollups ORDER BY tenant LIMIT 100"


@dataclass(frozen=True, slots=True)
class ReplayService:
    """The tables of one replay, seen as a tenant sees its own. No other process may use them."""

    settings: Settings
    prefix: str
    tenant: str

    def run(self, statement: str, output_format: str) -> bytes:
        """Run one SELECT; return the result in the format. Raises ReplayError."""
        place = place_of(self.settings, self.prefix)
        if not place.folder.exists():
            raise ReplayError(f"--replay {self.prefix}: there is no {place.folder}")
        if output_format not in FORMATS:
            raise ReplayError(f"--format {output_format}: choose table, {', '.join(FORMATS)}")
        limits = Limits(max_rows=self.settings.query_max_rows)
        engine = place.open(limits)
        queries = Queries(self.settings)
        queries.open(engine)
        try:
            self._check_tenant(engine)
            return asyncio.run(queries.run(self.tenant, check(statement), output_format))
        except (RefusedStatement, QueryFailed) as error:
            raise ReplayError(str(error)) from None
        finally:
            queries.close()
            engine.close()

    def _check_tenant(self, engine: Engine) -> None:
        found = engine.writer.query(_TENANTS).result_columns
        names = found[0] if found else ()
        if self.tenant not in names:
            raise ReplayError(
                f"--tenant {self.tenant}: replay {self.prefix} has "
                + (f"only {', '.join(names)}" if names else "no windows of any tenant")
            )

    def table(self, statement: str) -> Table:
        """Run one SELECT; return its rows."""
        return table_of(self.run(statement, "json"))

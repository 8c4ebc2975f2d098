"""The replay's own store: all tables of a live one, filled by the store role's own code."""

import math
import shutil

from clickhouse_connect.driver.exceptions import ClickHouseError

from ops import migrate
from ops.replay.plan import Place, ReplayError
from schemas.topics import Topic
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.applier import Applier
from topology.store.batch import Batch
from topology.store.client import Limits
from topology.store.progress import Progress
from topology.store.writer import Writer

REMEDY = (
    "--resume goes on with that replay, --overwrite removes it first, --into NAME makes another"
)


class Tables:
    """An open store of a replay."""

    def __init__(self, place: Place, *, is_new: bool) -> None:
        """Open it, making it if missing.

        is_new: it has to be empty. Raises StoreUnavailable or ReplayError.
        """
        self._place = place
        place.folder.mkdir(parents=True, exist_ok=True)
        self.engine = place.open(Limits())
        migrate.apply(self.engine.writer)
        self.engine.protect()
        if is_new and self.engine.writer.query("SELECT 1 FROM stored_samples LIMIT 1").result_rows:
            self.engine.close()
            raise ReplayError(f"database {self.engine.database} has samples already: {REMEDY}")
        writer = Writer(self.engine, Metrics(), now_ms)
        # No time is short here: each batch is done with before the next one.
        self._applier = Applier(
            writer, Progress(Topic.SAMPLES), live_s=math.inf, backfill_s=math.inf
        )
        self.n_refused = 0

    def apply(self, batch: Batch) -> None:
        """Insert a batch, and do all that follows from it. Raises ReplayError."""
        try:
            self.n_refused += len(self._applier.apply(batch))
        except ClickHouseError as error:
            raise ReplayError(f"{self._place.store_url} refuses rows: {error}") from error

    def close(self) -> None:
        """Close the store."""
        self.engine.close()


def remove(place: Place) -> None:
    """Remove a replay with all its tables."""
    if not place.store_url.startswith("chdb://"):
        engine = place.open(Limits())
        engine.writer.command(f"DROP DATABASE {engine.database}")
        engine.close()
    shutil.rmtree(place.folder, ignore_errors=True)

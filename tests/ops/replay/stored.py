"""A live store for tests of what a replay reads from it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ops.replay.live import Live
from topology.store.export import Piece

DAY_MS = 86_400_000

Samples = list[tuple[int, int, float]]


@dataclass(frozen=True)
class StoredSamples(Live):
    """A live store of samples (series, time, value) by tenant; values above 90 are kept longer."""

    samples: dict[str, Samples]

    def tenants(self) -> list[str]:
        return sorted(self.samples)

    def read(self, what: str, piece: Piece) -> pa.Table:
        found = sorted(
            (time_ms, series, value)
            for series, time_ms, value in self.samples[piece.tenant]
            if piece.first_id <= series <= piece.last_id and piece.from_ms <= time_ms < piece.to_ms
        )
        if what == "sizes":
            days = [time_ms // DAY_MS * DAY_MS // 1000 for time_ms, _, _ in found]
            distinct, counts = np.unique(np.array(days, np.int64), return_counts=True)
            return pa.table({"day_s": distinct, "n_samples": counts})
        if what == "facts":
            return pa.table({"fine_windows": [1], "sketches": [0]})
        return pa.table(
            {
                "series_id": np.array([series for _, series, _ in found], np.uint64),
                "time_ms": np.array([time_ms for time_ms, _, _ in found], np.int64),
                "value": np.array([value for _, _, value in found], np.float64),
                "retention_days": np.array([30 + int(value > 90) for _, _, value in found]),
            }
        )

"""Stored windows as the score stage gets them."""

from typing import Any

import numpy as np
import pyarrow as pa

from schemas.rollups import RollupBlock
from topology.store.columns import SUMMARIES


def block_of(tenant: str, width_s: int, rows: pa.Table, receive_ms: int) -> RollupBlock:
    """Return a block of stored windows, each series' in order of time.

    rows: columns start_s, series_id, count and those of SUMMARIES.
    """
    columns: list[Any] = [
        rows["start_s"].to_numpy().astype(np.int64) * 1000,
        np.array(rows["series_id"].to_numpy()),
        rows["count"].to_numpy().astype(np.uint32),
    ]
    # Copies: Arrow's own arrays are read-only, which is another type to compiled code.
    columns += [np.array(rows[name].to_numpy()) for name in SUMMARIES]
    columns += [np.zeros(rows.num_rows, dtype=np.uint32), np.zeros(0, dtype=np.uint32)]
    return RollupBlock(tenant, receive_ms, 1, width_s, *columns)

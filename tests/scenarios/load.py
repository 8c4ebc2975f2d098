"""History sent fast and without a break, and the check of what became of it."""

import numpy as np

from ops.faults.check import check_until_right
from ops.faults.client import Client, Stream
from ops.faults.running import Up
from ops.faults.traffic import HOUR_MS, Pattern, Source
from topology.clock import now_ms
from topology.tenants import DEFAULT_TENANT, Tenant

METRIC = "crash_total"
# History a hundred times as fast as it was: all windows are over when the load ends.
N_SERIES, STEP_MS, PAUSE_S = 300, 5_000, 0.05
HISTORY_MS = 3 * HOUR_MS


def started_client(up: Up) -> Client:
    """Return a client that sends to all edges of the deployment by turns."""
    begin_ms = now_ms() // STEP_MS * STEP_MS - HISTORY_MS
    pattern = Pattern(N_SERIES, STEP_MS, begin_ms, PAUSE_S, odd=0.0)
    tenant = Tenant(DEFAULT_TENANT, "enterprise", 30)
    source = Source(pattern, np.random.default_rng(11))
    urls = [up.url(name) for name in up.names("edge")]
    client = Client(lambda: urls, Stream(source, tenant, up.key(), METRIC, 0))
    client.start()
    return client


def check_exact(up: Up, client: Client) -> None:
    """Wait until all that was acknowledged is stored once and each rollup equals its samples."""
    checked = check_until_right(up.service(), client.stream, 90)

    examples = [line for one in checked.differences.values() for line in one.examples]
    assert checked.is_right, "\n".join(examples)
    assert all(one.compared for one in checked.differences.values())

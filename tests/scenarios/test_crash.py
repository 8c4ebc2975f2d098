"""kill -9 of each part in turn under load: nothing that was acknowledged is lost or doubled."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ops.faults.check import check
from ops.faults.client import Client
from ops.faults.running import Up
from ops.ports import free_base_port
from tests.scenarios.load import check_exact, kill_and_wait, started_client
from topology.clock import now_ms

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    environment = {"OBSERVAI_CHECKPOINT_S": "2"}
    running = Up(tmp_path, free_base_port(), environment=environment)
    yield running
    running.close()


def test_nothing_acknowledged_is_lost_or_doubled(up: Up) -> None:
    client = started_client(up)
    client.wait_for_requests(30)
    for name in ("worker", "store", "kafka", "worker", "edge"):
        kill_and_wait(up, client, name)
    client.finish()

    check_exact(up, client)
    _check_sees_what_is_amiss(up, client)


def _check_sees_what_is_amiss(up: Up, client: Client) -> None:
    """Against the same store: a sample more, a sample less and another value are found."""
    ledger, now = client.stream.ledger, now_ms()
    step = ledger.entries[0].request
    one, two = step.series[np.isfinite(step.values)][:2].tolist()
    more = step._replace(times_ms=step.times_ms + 1).only(step.series == one)
    other = step.only(step.series == two)
    other = other._replace(values=np.full(len(other.values), -1.0))

    for request, counts in ((more, (1, 0)), (other, (0, 1))):
        ledger.add(request, 1, now)
        found = check(up.service(), client.stream, now)
        ledger.entries.pop()
        samples = found.differences["samples"]
        assert (samples.lost, samples.wrong, samples.unknown) == (*counts, 0)
        assert all(found.differences[f"rollups {width_s} s"].wrong for width_s in (60, 300, 3600))
    del ledger.entries[0]
    samples = check(up.service(), client.stream, now).differences["samples"]
    assert samples.unknown == len(step.series)

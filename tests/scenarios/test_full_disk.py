"""A disk that fills up under load: what was acknowledged is stored once when it has room again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ops import api
from ops.faults.check import check
from ops.faults.client import Client
from ops.faults.disk import Tmpfs, disk
from ops.faults.running import KAFKA, Up
from ops.ports import free_base_port
from tests.scenarios.load import check_exact, started_client
from tests.waiting import wait_until
from topology.clock import now_ms

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(280)]

MIB = 1 << 20
DISK_MB, MIN_FREE_BYTES = 640, 128 * MIB


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Tmpfs]:
    """A small disk of its own."""
    with disk(tmp_path / "disk", DISK_MB) as mounted:
        if not isinstance(mounted, Tmpfs):
            pytest.skip("only root can mount a small disk")
        yield mounted


def said(up: Up, role: str) -> str:
    return api.not_ready(up.url(role)) or ""


@pytest.fixture
def up(tmp_path: Path, small: Tmpfs) -> Iterator[Up]:
    """All on the small disk."""
    environment = {
        "OBSERVAI_CHECKPOINT_S": "2",
        "OBSERVAI_MIN_FREE_BYTES": str(MIN_FREE_BYTES),
    }
    data_dir = small.folder / "data"
    running = Up(tmp_path, free_base_port(), data_dir=data_dir, environment=environment)
    yield running
    running.close()


@pytest.fixture
def up_with_small_store(tmp_path: Path, small: Tmpfs) -> Iterator[Up]:
    """Only the store on the small disk, and nothing kept free."""
    environment = {
        "OBSERVAI_STORE": f"chdb://{small.folder / 'chdb'}",
        "OBSERVAI_MIN_FREE_BYTES": "0",
    }
    running = Up(tmp_path, free_base_port(), environment=environment)
    yield running
    running.close()


def loaded(up: Up) -> Client:
    client = started_client(up)
    client.wait_for_requests(30)
    return client


def test_a_full_disk_loses_nothing(up: Up, small: Tmpfs) -> None:
    """First the store pauses, then the edge refuses, then the broker dies; then there is room."""
    client = loaded(up)

    small.take_all_but(MIN_FREE_BYTES - 24 * MIB)
    wait_until(lambda: "disk of" in said(up, "store"), 20, "the store says that it pauses")
    client.wait_for_requests(30)
    assert said(up, "edge") == ""
    assert up.service().table("select count() > 0 from samples").rows == [[1]]

    small.take_all_but(MIN_FREE_BYTES // 2 - 24 * MIB)
    wait_until(lambda: "disk of" in said(up, "edge"), 20, "the edge says that it refuses")

    broker = up.pid(KAFKA)
    assert broker is not None
    small.take_all_but(0)
    wait_until(lambda: up.pid(KAFKA) != broker, 60, "a full disk ends the broker")
    wait_until(lambda: up.pid(KAFKA), 20, "the broker is started again")
    wait_until(lambda: not up.pid(KAFKA), 40, "and ends again")
    assert up.process.poll() is None
    small.free(up)

    wait_until(up.is_ready, 60, "all go on by themselves")
    client.wait_for_requests(20)
    client.finish()
    check_exact(up, client)


def test_an_insert_that_finds_the_disk_full_is_tried_again(
    up_with_small_store: Up, small: Tmpfs
) -> None:
    """The engine's own "no space left" is no fault of the rows: Kafka keeps them meanwhile."""
    up = up_with_small_store
    client = loaded(up)

    small.take_all_but(0)
    wait_until(lambda: "write failed" in said(up, "store"), 30, "the store says what failed")
    client.wait_for_requests(60)
    assert said(up, "edge") == ""
    small.free(up)

    wait_until(up.is_ready, 30, "the store goes on by itself")
    client.wait_for_requests(20)
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

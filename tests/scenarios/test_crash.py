"""kill -9 of each part in turn under load: nothing that was acknowledged is lost or doubled."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from ops.loadgen import Body, RequestTemplate, Sender, encode_series
from ops.ports import free_base_port
from ops.query import Service
from tests.reference import RollupRow, rollup_reference
from tests.running_up import Up
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]

N_SERIES, STEP_MS, PAUSE_S = 300, 5_000, 0.05
MINUTE = 60_000
LABELS = [{"__name__": "crash_total", "i": str(i), "host": f"h{i % 7}"} for i in range(N_SERIES)]


class Load(threading.Thread):
    """Sends one step of all series after the other until told to stop; each until it is taken."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self.times_ms: list[int] = []
        self.values: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self.n_retries = 0
        self.failure: Exception | None = None
        self._sender = Sender(url, key, deadline_s=90)
        self._end = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except Exception as error:  # noqa: BLE001 - the test tells it
            self.failure = error

    def finish(self) -> None:
        self._end.set()
        self.join(120)
        assert not self.is_alive()
        assert self.failure is None, self.failure

    async def _send_all(self) -> None:
        try:
            await self._send()
        finally:
            self._sender.close()
            await asyncio.sleep(0)  # lets the transport close

    async def _send(self) -> None:
        template = RequestTemplate([encode_series(labels) for labels in LABELS])
        rng = np.random.default_rng(11)
        start_ms = (time.time_ns() // 1_000_000) // MINUTE * MINUTE - 180 * MINUTE
        for step in range(180 * MINUTE // STEP_MS):
            if self._end.is_set():
                return
            time_ms = start_ms + step * STEP_MS
            values = rng.integers(0, 1000, N_SERIES).astype(np.float64)
            body: Body = template.body(time_ms, values)
            self.n_retries += await self._sender.send(body)
            self.times_ms.append(time_ms)
            self.values.append(values)
            await asyncio.sleep(PAUSE_S)


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("OBSERVAI_CHECKPOINT_S", "2")
    running = Up(tmp_path, free_base_port())
    yield running
    running.close()


def child(up: Up, role: str) -> psutil.Process | None:
    """Return the process of a role, or of the broker."""
    word = "kafka.Kafka" if role == "kafka" else role
    for process in up.children():
        try:
            if word in process.cmdline():
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill_and_wait(up: Up, load: Load, role: str) -> None:
    """Kill a part, wait until all are ready again and the load has moved on."""
    victim = child(up, role)
    assert victim is not None
    victim.kill()

    def is_back() -> bool:
        now = child(up, role)
        return now is not None and now.pid != victim.pid and up.is_ready()

    wait_until(is_back, 60, f"{role} back after kill -9")
    sent = len(load.times_ms)
    wait_until(lambda: len(load.times_ms) >= sent + 20 or load.failure, 60, "load goes on")


def rows(store: Service, statement: str) -> list[list[float]]:
    return [list(row) for row in store.table(statement).rows]


def test_nothing_acknowledged_is_lost_or_doubled(up: Up) -> None:
    load = Load(f"{up.url('edge')}/api/v1/write", up.key())
    load.start()
    wait_until(lambda: len(load.times_ms) >= 30 or load.failure, 60, "first steps")
    for role in ("worker", "store", "kafka", "worker", "edge"):
        kill_and_wait(up, load, role)
    load.finish()

    store = up.service()
    n_sent = len(load.times_ms) * N_SERIES
    count = "select count() from samples where metric = 'crash_total'"
    wait_until(lambda: rows(store, count) == [[n_sent]], 60, f"{n_sent} samples stored")
    values = np.stack(load.values)
    assert stored_values(store) == {
        (i, time_ms): values[step, i]
        for step, time_ms in enumerate(load.times_ms)
        for i in range(N_SERIES)
    }

    truth = expected_rollups(load.times_ms, values)
    n_windows = "select count() from rollups where metric = 'crash_total' and width_s = 60"
    # The last windows close when the tenant has been silent for a while.
    wait_until(lambda: rows(store, n_windows) == [[len(truth)]], 60, f"{len(truth)} rollups")
    wait_until(lambda: stored_rollups(store) == truth, 20, "rollups that equal the samples")


def stored_values(store: Service) -> Mapping[tuple[int, int], float]:
    found = rows(
        store,
        "select toUInt32(labels['i']), toUnixTimestamp64Milli(time), value from samples "
        "where metric = 'crash_total'",
    )
    return {(int(i), int(time_ms)): value for i, time_ms, value in found}


def stored_rollups(store: Service) -> Mapping[tuple[int, int], RollupRow]:
    found = rows(
        store,
        "select toUInt32(labels['i']), toUnixTimestamp(window_start) * 1000, count, sum, min, "
        "max, first, last, increase from rollups where metric = 'crash_total' and width_s = 60",
    )
    return {(int(row[0]), int(row[1])): (int(row[2]), *row[3:]) for row in found}  # type: ignore[misc]


def expected_rollups(
    times_ms: list[int], values: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> Mapping[tuple[int, int], RollupRow]:
    return {
        (i, start): row
        for i in range(N_SERIES)
        for start, row in rollup_reference(i, times_ms, values[:, i].tolist(), MINUTE).items()
    }

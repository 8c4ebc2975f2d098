"""A steady load that knows what was acknowledged, and checks of what became of it."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from ops.loadgen import Body, RequestTemplate, Sender, encode_series
from ops.query import Service
from tests.reference import RollupRow, rollup_reference
from tests.waiting import wait_until

METRIC = "crash_total"
N_SERIES, STEP_MS, PAUSE_S = 300, 5_000, 0.05
MINUTE = 60_000
LABELS = [{"__name__": METRIC, "i": str(i), "host": f"h{i % 7}"} for i in range(N_SERIES)]

Values = np.ndarray[tuple[int], np.dtype[np.float64]]


class Load(threading.Thread):
    """Sends one step of all series after the other until told to stop; each until it is taken.

    urls: edges, which take turns. late_every: each so many steps one comes that lies three
    minutes back, between two that were sent, of the first half of the series; 0 for none.
    steps: by time the values of the first so many series, all of them or half.
    """

    def __init__(self, urls: Sequence[str], key: str, late_every: int = 0) -> None:
        super().__init__(daemon=True)
        self.steps: dict[int, Values] = {}
        self.n_retries = 0
        self.failure: Exception | None = None
        self._late_every = late_every
        self._senders = [Sender(url, key, deadline_s=90) for url in urls]
        self._end = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except Exception as error:  # noqa: BLE001 - the test tells it
            self.failure = error

    def wait_for_steps(self, n_more: int) -> None:
        """Return when so many more steps are acknowledged."""
        wanted = len(self.steps) + n_more
        wait_until(lambda: len(self.steps) >= wanted or self.failure, 90, "load goes on")
        assert self.failure is None, self.failure

    def finish(self) -> None:
        self._end.set()
        self.join(120)
        assert not self.is_alive()
        assert self.failure is None, self.failure

    async def _send_all(self) -> None:
        try:
            await self._send()
        finally:
            for sender in self._senders:
                sender.close()
            await asyncio.sleep(0)  # lets the transport close

    async def _send(self) -> None:
        encoded = [encode_series(labels) for labels in LABELS]
        all_series, half = RequestTemplate(encoded), RequestTemplate(encoded[: N_SERIES // 2])
        rng = np.random.default_rng(11)
        start_ms = (time.time_ns() // 1_000_000) // MINUTE * MINUTE - 180 * MINUTE
        for step in range(180 * MINUTE // STEP_MS):
            if self._end.is_set():
                return
            time_ms = start_ms + step * STEP_MS
            is_late = self._late_every and step % self._late_every == self._late_every - 1
            if is_late:
                time_ms -= 3 * MINUTE + STEP_MS // 2
            template, n = (half, N_SERIES // 2) if is_late else (all_series, N_SERIES)
            values = rng.integers(0, 1000, n).astype(np.float64)
            body: Body = template.body(time_ms, values)
            sender = self._senders[step % len(self._senders)]
            self.n_retries += await sender.send(body)
            self.steps[time_ms] = values
            await asyncio.sleep(PAUSE_S)


def check_exact(store: Service, load: Load) -> None:
    """Wait until all that was acknowledged is stored once and each rollup equals its samples."""
    n_sent = sum(map(len, load.steps.values()))
    count = f"select count() from samples where metric = '{METRIC}'"
    wait_until(lambda: rows(store, count) == [[n_sent]], 60, f"{n_sent} samples stored")
    assert stored_values(store) == {
        (i, time_ms): value
        for time_ms, values in load.steps.items()
        for i, value in enumerate(values.tolist())
    }

    truth = expected_rollups(load)
    n_windows = f"select count() from rollups where metric = '{METRIC}' and width_s = 60"
    # The last windows close when the tenant has been silent for a while.
    wait_until(lambda: rows(store, n_windows) == [[len(truth)]], 60, f"{len(truth)} rollups")
    wait_until(lambda: stored_rollups(store) == truth, 40, "rollups that equal the samples")


def rows(store: Service, statement: str) -> list[list[float]]:
    return [list(row) for row in store.table(statement).rows]


def stored_values(store: Service) -> Mapping[tuple[int, int], float]:
    found = rows(
        store,
        "select toUInt32(labels['i']), toUnixTimestamp64Milli(time), value from samples "
        f"where metric = '{METRIC}'",
    )
    return {(int(i), int(time_ms)): value for i, time_ms, value in found}


def stored_rollups(store: Service) -> Mapping[tuple[int, int], RollupRow]:
    found = rows(
        store,
        "select toUInt32(labels['i']), toUnixTimestamp(window_start) * 1000, count, sum, min, "
        f"max, first, last, increase from rollups where metric = '{METRIC}' and width_s = 60",
    )
    return {(int(row[0]), int(row[1])): (int(row[2]), *row[3:]) for row in found}  # type: ignore[misc]


def expected_rollups(load: Load) -> Mapping[tuple[int, int], RollupRow]:
    truth: dict[tuple[int, int], RollupRow] = {}
    for i in range(N_SERIES):
        values = {time_ms: step[i] for time_ms, step in load.steps.items() if len(step) > i}
        rollups = rollup_reference(i, values.keys(), values.values(), MINUTE)
        truth |= {(i, start): row for start, row in rollups.items()}
    return truth

"""Scores of a whole deployment: the same in a replay of the log, whatever was killed on the way."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ops import places
from ops.faults.running import Up
from ops.loadgen import RequestTemplate, encode_series, send
from ops.ports import free_base_port
from ops.replay.log_source import LogSource
from ops.supervise.child import role_command
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from schemas.rollups import RollupBlock, decode_rollups
from schemas.score_checkpoints import SCORES, WARMED
from schemas.scores import ScoreBlock
from schemas.series import decode_series
from schemas.topics import Topic
from tests.topology.running import producing
from tests.waiting import wait_until
from topology.settings import Settings, load_settings
from topology.worker.checkpoints import CheckpointStore

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

MINUTE_MS, STEP_MS = 60_000, 30_000
N_HOSTS, N_METRICS, N_MINUTES = 6, 10, 260
N_SERIES = N_HOSTS * N_METRICS
INCIDENT_HOST, INCIDENT_MINUTE = 2, 235
COLUMNS = "series_id, toUnixTimestamp(window_start), value, score, alarm, expected, lower, upper"

Row = tuple[float, ...]


class Lived:
    """A deployment that was sent hours of minutes in seconds, and whose worker was killed."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.settings: Settings = places.find(load_settings(data_dir=up.data_dir))[0]
        self.end_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
        self.start_ms = self.end_ms - N_MINUTES * MINUTE_MS
        rng = np.random.default_rng(4)
        steps = 100 + rng.standard_normal((N_MINUTES * MINUTE_MS // STEP_MS, N_SERIES))
        first = INCIDENT_MINUTE * MINUTE_MS // STEP_MS
        hit = slice(INCIDENT_HOST * N_METRICS, INCIDENT_HOST * N_METRICS + 8)
        steps[first : first + 10, hit] *= 3
        # Every second metric is a counter.
        steps[:, 1::2] = np.cumsum(steps[:, 1::2], axis=0)
        labels = [
            {"__name__": f"m{metric}_total" if metric % 2 else f"m{metric}", "host": f"h{host}"}
            for host in range(N_HOSTS)
            for metric in range(N_METRICS)
        ]
        template = RequestTemplate([encode_series(one) for one in labels])
        times_ms = self.start_ms + np.arange(len(steps)) * STEP_MS
        bodies = [
            [template.body(np.full(N_SERIES, at_ms), values)]
            for at_ms, values in zip(times_ms, steps, strict=True)
        ]
        for first in range(0, len(bodies), 260):
            self._send(bodies[first : first + 260])
            self.kill_worker()
        wait_until(lambda: len(self.scores()) == self.n_expected, 120, "all windows scored")

    @property
    def n_expected(self) -> int:
        """Rows of all minutes but the last, which ends later; of a counter's first is no rate."""
        return N_SERIES * (N_MINUTES - 1) - N_SERIES // 2

    def scores(self) -> dict[tuple[int, int], Row]:
        """Return the stored scores of all minutes but the last."""
        until_s = self.end_ms // 1000 - 60
        rows = (
            self.up.service()
            .table(
                f"select {COLUMNS} from scores "
                f"where width_s = 60 and toUnixTimestamp(window_start) < {until_s}"
            )
            .rows
        )
        found: dict[tuple[int, int], Row] = {
            (int(row[0]), int(row[1])): tuple(map(float, row[2:])) for row in rows
        }
        assert len(found) == len(rows)
        return found

    def kill_worker(self) -> None:
        pid = self.up.pid("worker")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def wait_for_worker(self) -> None:
        wait_until(self.up.is_ready, 60, "the worker is back")

    def _send(self, steps: list[Any]) -> None:
        sent = asyncio.run(send(f"{self.up.url('edge')}/api/v1/write", self.up.key(), steps))
        assert sent.n_samples


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    environment = {"OBSERVAI_PARTITIONS": "2", "OBSERVAI_CHECKPOINT_S": "1"}
    folder = tmp_path_factory.mktemp("scores")
    up = Up(folder, free_base_port(), environment=environment)
    try:
        yield Lived(up)
    finally:
        up.close()


async def replayed(settings: Settings) -> dict[tuple[int, int], Row]:
    """Return the scores of all that stands in the log, by an engine that lives once."""
    engines: dict[int, PartitionScores] = {}
    found: dict[tuple[int, int], Row] = {}
    for topic in (Topic.SERIES, Topic.ROLLUPS):
        source = LogSource(settings, topic)
        try:
            await source.open(0, {})
            async for record in source.records():
                engine = engines.setdefault(record.partition, PartitionScores(ScoresConfig()))
                if topic == Topic.SERIES:
                    for block in decode_series(record.payload):
                        engine.announce(block)
                    continue
                blocks = [
                    one for one in decode_rollups(record.payload) if isinstance(one, RollupBlock)
                ]
                for scored in engine.feed(blocks):
                    found |= rows_of(scored)
        finally:
            await source.close()
    return found


def rows_of(block: ScoreBlock) -> dict[tuple[int, int], Row]:
    starts_s = (block.window_starts_ms // 1000).tolist()
    keys = zip(block.series_ids.tolist(), starts_s, strict=True)
    columns = (block.values, block.scores, block.alarms, block.expected, block.lower, block.upper)
    rows = zip(*(column.astype(np.float64).tolist() for column in columns), strict=True)
    return dict(zip(keys, rows, strict=True))


def test_a_replay_gives_the_scores_that_killed_workers_gave(lived: Lived) -> None:
    """The worker was killed twice while it scored; every number is the same."""
    live = lived.scores()

    again = asyncio.run(replayed(lived.settings))

    last_s = lived.end_ms // 1000 - 60
    assert live.keys() == {key for key in again if key[1] < last_s}
    different = [key for key, row in live.items() if row != pytest.approx(again[key], rel=1e-6)]
    assert different == []


def test_the_host_that_failed_is_one_anomaly(lived: Lived) -> None:
    service = lived.up.service()

    def rows() -> list[Any]:
        return service.table(
            "select toUnixTimestamp(start), series_count, labels, toUnixTimestamp(detected) "
            "from anomalies where series_count > 2 order by start"
        ).rows

    wait_until(rows, 30, "an anomaly")
    ((start_s, n_series, labels, detected_s),) = rows()

    begin_s = (lived.start_ms + INCIDENT_MINUTE * MINUTE_MS) // 1000
    assert labels == {"host": f"h{INCIDENT_HOST}"}
    assert 6 <= n_series <= N_METRICS
    assert abs(start_s - begin_s) <= 60
    assert detected_s - begin_s <= 180


def test_models_that_are_gone_are_learned_from_stored_rollups(lived: Lived) -> None:
    """`observai anomaly warm`, and a worker that starts after it goes on from there."""
    lived.wait_for_worker()
    done = subprocess.run(
        role_command("anomaly", "warm", "--data-dir", str(lived.up.data_dir), "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    learned = json.loads(done.stdout)["partitions"]
    assert sum(one["n_series"] for one in learned) == N_SERIES

    async def forget_own() -> None:
        async with producing(lived.settings) as producer:
            own = CheckpointStore(lived.settings, producer, SCORES)
            for partition in range(2):
                await own.drop(partition)

    async def n_warmed() -> int:
        async with producing(lived.settings) as producer:
            found = await CheckpointStore(lived.settings, producer, WARMED).load(range(2))
        return sum(one.newest is not None for one in found.values())

    assert asyncio.run(n_warmed()) == 2
    lived.kill_worker()
    asyncio.run(forget_own())
    lived.wait_for_worker()

    def n_learned() -> float:
        return lived.up.total("worker", "observai_score_series", 'state="learned"')

    wait_until(lambda: n_learned() == N_SERIES, 20, "all series have been learned")
    # With the next checkpoint of its own what it began with is no more.
    wait_until(lambda: asyncio.run(n_warmed()) == 0, 40, "the worker goes on from its own")

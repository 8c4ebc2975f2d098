"""`observai verify` on a real `observai up`: all is well, then rows are forged."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops import api
from ops.faults.running import Up
from ops.ports import free_base_port
from ops.supervise.child import role_command
from ops.verify.processes import closed_until_s
from schemas.rollups import RollupBlock, encode_rollups
from schemas.topics import Topic, partition_of
from tests.topology.running import producing
from tests.waiting import wait_until
from topology.clock import now_ms
from topology.settings import load_settings

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
N_SERIES, N_STEPS = 12, 150


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    names = {"CHECKPOINT_S": "2", "SKETCHES": "true", "FINE_WINDOWS": "true"}
    environment = {f"OBSERVAI_{name}": value for name, value in names.items()}
    started = Up(tmp_path, free_base_port(), environment=environment)
    yield started
    started.close()


def run_verify(up: Up, *options: str) -> "subprocess.CompletedProcess[str]":
    command = role_command("verify", "--data-dir", str(up.data_dir), "--from", "5h", *options)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


def verify(up: Up, *options: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and report."""
    done = run_verify(up, "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def send(up: Up, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    body = json.dumps({"metrics": metrics}).encode()
    url = f"{up.url('edge')}/api/v1/ingest"
    answer: dict[str, Any] = json.loads(api.request("POST", url, key=up.key(), body=body).body)
    return answer


def history(start_ms: int) -> list[dict[str, Any]]:
    """Return the metrics of all series, one every 25 s over an hour; a few come again, changed."""
    rng = np.random.default_rng(5)
    points = [
        {
            "name": "past",
            "labels": {"i": str(i)},
            "value": float(rng.integers(1, 1000)),
            "timestamp": start_ms + step * 25_000,
        }
        for step in range(N_STEPS)
        for i in range(N_SERIES)
    ]
    return [*points, *({**point, "value": 7.5} for point in points[100:140])]


def publish(up: Up, topic: Topic, record: bytes, partition: int) -> None:
    async def send_it() -> None:
        settings = load_settings(data_dir=up.data_dir, kafka=up.run["kafka"])
        async with producing(settings) as producer:
            await producer.send_and_wait(settings.topic(topic), record, partition=partition)

    asyncio.run(send_it())


def wait_closed(up: Up, until_ms: int) -> None:
    """Return when the tenant's silence has closed its windows, and the store has made the hours."""

    def is_closed() -> bool:
        hours = up.service().table("SELECT count() FROM rollups WHERE width_s = 3600").rows
        closed_s = closed_until_s(up.run["urls"], time.time())
        return hours == [[2 * N_SERIES]] and closed_s * 1000 >= until_ms

    wait_until(is_closed, 60, "windows are closed and stored")


def forged(series_id: int, start_ms: int) -> bytes:
    """Return a row that no sample has led to."""
    no_sketch = (np.zeros(1, np.uint32), np.zeros(0, np.uint32))
    place: list[Any] = [np.array([start_ms]), np.array([series_id], np.uint64)]
    columns = [*place, np.ones(1, np.uint32), *[np.full(1, 1.0)] * 6, *no_sketch]
    return encode_rollups([RollupBlock("default", now_ms(), 30, 60, *columns)])


def test_verify_finds_nothing_wrong_and_then_all_that_is(up: Up) -> None:
    start_ms = (now_ms() - 3 * HOUR_MS) // HOUR_MS * HOUR_MS
    answer = send(up, [*history(start_ms), {"name": "a name", "value": 1}])
    assert answer["rejected"] == 1
    wait_closed(up, start_ms + 2 * HOUR_MS)

    code, report = verify(up, "--series", "0")

    assert (code, report["ok"]) == (0, True), report
    widths = {width: one["n_windows"] for width, one in report["widths"].items()}
    assert widths == {
        "10": N_SERIES * N_STEPS,
        "60": N_SERIES * 63,
        "300": N_SERIES * 13,
        "3600": N_SERIES * 2,
    }
    balance = report["balance"]
    n_sent = N_SERIES * N_STEPS + 40
    assert (balance["logged"], balance["chosen"], balance["repeated"]) == (n_sent, n_sent, 40)
    assert (balance["stored"], balance["difference"]) == (n_sent - 40, 0)
    assert balance["edges"]["accepted"] == n_sent
    assert balance["edges"]["rejected"] == {"bad_name": 1}

    some = verify(up, "--series", "3", "--seed", "1")
    again = verify(up, "--series", "3", "--seed", "1")
    assert [one["n_series"] for _, one in (some, again)] == [3, 3]
    assert some[1]["balance"]["chosen"] == again[1]["balance"]["chosen"] < n_sent

    _check_forgeries(up, start_ms)


def _check_forgeries(up: Up, start_ms: int) -> None:
    """A forged row, an extra one, a record that nobody can read, and samples for no edge."""
    rows = up.service().table("SELECT series_id FROM series ORDER BY series_id").rows
    series_id = int(rows[0][0])
    partition = int(partition_of(np.array([series_id], np.uint64), 4)[0])
    publish(up, Topic.SAMPLES, b"not a record", partition)
    for at_ms in (start_ms, start_ms - 10 * MINUTE_MS):
        publish(up, Topic.ROLLUPS, forged(series_id, at_ms), partition)
    ours = "SELECT count() FROM rollups WHERE width_s = 60 AND count = 1 AND last = 1"
    wait_until(lambda: up.service().table(ours).rows == [[2]], 30, "the forged rows are stored")

    code, report = verify(up, "--series", "0")

    assert (code, report["ok"]) == (1, False)
    found = [(one["kind"], one["width_s"], one["start_s"] * 1000) for one in report["windows"]]
    assert found == [("extra", 60, start_ms - 10 * MINUTE_MS), ("different", 60, start_ms)]
    different = report["windows"][1]
    assert (different["series_id"], different["metric"]) == (series_id, "past")
    assert {"count", "sum"} <= {column["name"] for column in different["columns"]}
    assert (report["balance"]["unreadable"], report["balance"]["without_letter"]) == (1, 0)
    assert report["balance"]["difference"] == 0

    shown = run_verify(up, "--series", "0")
    assert shown.returncode == 1
    assert "DIFFERENT window of 60 s" in shown.stdout
    assert 'past{i="' in shown.stdout
    assert "2 DIFFERENCES" in shown.stdout.splitlines()[-1]

    code, report = verify(up, "--series", "0", "--repair")
    assert (code, report["n_repaired"]) == (1, 1)
    assert [one["kind"] for one in report["windows"]] == ["extra"]

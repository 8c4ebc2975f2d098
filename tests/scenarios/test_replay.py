"""What was lived is replayed, from the log and from the store: the same bytes, at full speed."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from ops.demo.recording import read_recording
from ops.faults.running import Up
from ops.loadgen import Body, RequestTemplate, encode_series, send
from ops.ports import free_base_port
from ops.supervise.child import role_command
from ops.times import show_time
from schemas.samples import STALE_MARKER_BITS
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

HOUR_MS, STEP_MS = 3_600_000, 5_000
N_SERIES, N_STEPS = 60, 480
STALE = np.array([STALE_MARKER_BITS]).view(np.float64)[0]
# Writes one row more, of a window that is there, with another sum.
PLANT = """
import sys
from topology.store.client import Engine, Limits
engine = Engine(sys.argv[1], Limits())
engine.writer.command(
    "INSERT INTO stored_rollups SELECT * REPLACE (sum + 1 AS sum, version + 1 AS version) "
    "FROM stored_rollups FINAL WHERE width_s = 60 AND count > 0 AND window_start >= "
    f"fromUnixTimestamp({int(sys.argv[2])}) ORDER BY series_id, window_start LIMIT 1"
)
engine.close()
"""


class Lived:
    """A deployment that has lived through a recording, and an hour of a troubled load before it."""

    def __init__(self, up: Up) -> None:
        self.up = up
        now_ms = time.time_ns() // 1_000_000
        end_ms = now_ms // 60_000 * 60_000 - 60_000
        self.calm_ms = (end_ms - 80 * 60_000, end_ms)
        start_ms = self.calm_ms[0] // HOUR_MS * HOUR_MS - 2 * HOUR_MS
        self.troubled_ms = (start_ms, start_ms + 2 * HOUR_MS)
        self._send([[body] for body in _troubled(start_ms)])
        self._send([[body] for body in read_recording().ending_at(end_ms).bodies()])
        wait_until(lambda: self._is_closed(end_ms - 60_000), 90, "the last minute closed")

    def replay(self, span_ms: tuple[int, int], *options: str) -> tuple[int, dict[str, Any]]:
        """Run it; return exit code and what it printed."""
        done = subprocess.run(
            self.command(span_ms, "--json", *options), capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def command(self, span_ms: tuple[int, int], *options: str) -> list[str]:
        times = ["--from", show_time(span_ms[0]), "--to", show_time(span_ms[1])]
        return role_command("replay", "--data-dir", str(self.up.data_dir), *times, *options)

    def live(self, statement: str) -> list[list[Any]]:
        """Return the live store's answer."""
        return self.up.service().table(statement).rows

    def n_windows(self, span_ms: tuple[int, int]) -> int:
        """Return how many live windows begin and end in the span."""
        from_s, to_s = (time_ms // 1000 for time_ms in span_ms)
        (row,) = self.live(
            "select count() from rollups where toUnixTimestamp(window_start) >= "
            f"{from_s} and toUnixTimestamp(window_start) + width_s <= {to_s}",
        )
        return int(row[0])

    def rollups(self, replay: str) -> pa.Table:
        """Return all rows of a replay's relation; floats as their bits."""
        floats = ("sum", "min", "max", "first", "last", "increase")
        bits = ", ".join(f"reinterpretAsUInt64({name}) as {name}_bits" for name in floats)
        statement = (
            f"select width_s, series_id, window_start, count, {bits}, sketch "
            "from rollups order by width_s, series_id, window_start"
        )
        where = ["--data-dir", str(self.up.data_dir), "--replay", replay, "--format", "arrow"]
        done = subprocess.run(
            role_command("sql", statement, *where), capture_output=True, check=True
        )
        return pa.ipc.open_stream(done.stdout).read_all()

    def _is_closed(self, minute_ms: int) -> bool:
        """Whether every series with a sample in that minute has its window: the log is over."""
        minute = f"fromUnixTimestamp({minute_ms // 1000})"
        expected = (
            f"select uniqExact(series_id) from samples where toStartOfMinute(time) = {minute}"
        )
        closed = f"select count() from rollups where width_s = 60 and window_start = {minute}"
        ((n_series,),), ((n_closed,),) = self.live(expected), self.live(closed)
        return bool(n_closed == n_series > 0)

    def _send(self, steps: list[list[Body]]) -> None:
        sent = asyncio.run(send(f"{self.up.url('edge')}/api/v1/write", self.up.key(), steps))
        assert sent.n_samples


def _troubled(start_ms: int) -> Iterator[Body]:
    """Yield scrapes; among them repeated, late, out-of-order and stale samples."""
    labels = [{"__name__": "troubled_total", "i": str(i)} for i in range(N_SERIES)]
    template = RequestTemplate([encode_series(one) for one in labels])
    rng = np.random.default_rng(5)
    for step in range(N_STEPS):
        values = rng.integers(0, 500, N_SERIES).astype(np.float64)
        values[rng.random(N_SERIES) < 0.02] = STALE
        times_ms = np.full(N_SERIES, start_ms + step * STEP_MS)
        yield template.body(times_ms, values)
        if step % 10 == 3:
            yield template.body(times_ms, values[::-1])
        if step % 25 == 20:
            yield template.body(times_ms - rng.integers(1, 600, N_SERIES) * 1000, values)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    settings = {"OBSERVAI_SKETCHES": "true", "OBSERVAI_FINE_WINDOWS": "true"}
    up = Up(tmp_path_factory.mktemp("replay"), free_base_port(), environment=settings)
    try:
        yield Lived(up)
    finally:
        up.close()


@pytest.mark.parametrize("source", ["log", "store"])
def test_late_repeated_and_stale_samples_give_the_live_windows(lived: Lived, source: str) -> None:
    """Every window of every width is on both sides, with the same bits."""
    code, found = lived.replay(lived.troubled_ms, "--source", source, "--into", f"by_{source}")

    counts = found["comparison"]
    assert (code, counts["differences"]) == (0, [])
    assert counts["compared"] == counts["equal"] == lived.n_windows(lived.troubled_ms) > 16_000


def test_an_hour_is_replayed_at_a_thousand_times_real_speed(lived: Lived) -> None:
    code, found = lived.replay(lived.calm_ms, "--source", "log", "--into", "fast")

    assert (code, found["comparison"]["differences"]) == (0, [])
    assert found["comparison"]["equal"] > 10_000
    assert found["event_seconds"] > 4_000
    assert found["times_real_speed"] > 1_000, found


def test_a_replay_killed_in_the_middle_and_resumed_gives_the_bytes_of_one_run(
    lived: Lived,
) -> None:
    span_ms = (lived.troubled_ms[0], lived.calm_ms[1])
    assert lived.replay(span_ms, "--into", "whole", "--no-compare")[0] == 0
    checkpoint = lived.up.data_dir / "replays" / "killed" / "checkpoint"

    def saved() -> int:
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    command = lived.command(span_ms, "--into", "killed", "--no-compare")
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_until(saved, 30, "the first checkpoint, before any sample")
        first = saved()
        wait_until(lambda: saved() != first, 30, "a checkpoint in the middle")
        assert process.poll() is None, "it was over before it was killed"
        process.kill()
    assert lived.replay(span_ms, "--into", "killed", "--resume", "--no-compare")[0] == 0

    # The engine cuts an answer into batches as it likes: rows are compared, not the answer's bytes.
    killed, whole = lived.rollups("killed"), lived.rollups("whole")
    assert whole.num_rows > 50_000
    assert killed.equals(whole)


def test_a_difference_is_found_and_named(lived: Lived) -> None:
    """One row of a replay is changed: exit code 1, and both values."""
    name, begin_s = "planted", lived.troubled_ms[0] // 1000
    lived.replay(lived.troubled_ms, "--into", name, "--no-compare")
    store = f"chdb://{(lived.up.data_dir / 'replays' / name / 'chdb').absolute()}"
    subprocess.run([sys.executable, "-c", PLANT, store, str(begin_s)], check=True)

    code, found = lived.replay(
        lived.troubled_ms, "--into", name, "--resume", "--compare", "--settle", "0"
    )

    (difference,) = found["comparison"]["differences"]
    live, replayed = difference["columns"].pop("sum")
    assert (code, found["comparison"]["different"]) == (1, 1)
    assert (difference["kind"], difference["columns"]) == ("different", {})
    assert replayed == live + 1


def test_nothing_compared_is_not_called_right(lived: Lived) -> None:
    """Exit code 2 with a wrong key, and for a span without samples."""
    span_ms = (lived.troubled_ms[0] - 7_200_000, lived.troubled_ms[0] - 3_600_000)
    refused = subprocess.run(
        lived.command(lived.calm_ms, "--into", "refused", "--key", "wrong"),
        capture_output=True,
        text=True,
        check=False,
    )

    code, found = lived.replay(span_ms, "--into", "nothing", "--source", "store")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "key" in refused.stderr
    assert (code, found["comparison"]["compared"]) == (2, 0)


def test_a_tenant_that_a_replay_has_not_is_refused(lived: Lived) -> None:
    lived.replay(lived.calm_ms, "--into", "of_default", "--no-compare")
    where = ["--data-dir", str(lived.up.data_dir), "--replay", "of_default", "--tenant", "nosuch"]

    done = subprocess.run(
        role_command("sql", "SELECT count() FROM rollups", *where),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "--tenant nosuch: replay of_default has only default" in done.stderr


def test_a_replay_is_not_overwritten_unasked(lived: Lived) -> None:
    folder = lived.up.data_dir / "replays" / "kept"
    folder.mkdir(parents=True)

    done = subprocess.run(
        lived.command(lived.calm_ms, "--into", "kept"), capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert list(folder.iterdir()) == []

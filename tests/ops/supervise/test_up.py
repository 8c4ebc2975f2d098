"""`observai up` itself, once, with everything that it starts."""

import contextlib
import http.client
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from ops import api
from ops.cli.app import app
from ops.faults.running import Up
from ops.ports import free_base_port
from ops.supervise.child import role_command
from tests.waiting import wait_until
from topology.settings import ROLE_PORTS

pytestmark = [pytest.mark.broker, pytest.mark.slow]

READY_S = 60
RUNNER = CliRunner()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started = Up(tmp_path, free_base_port())
    yield started
    started.close()


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def test_ready_one_sample_a_killed_role_and_a_clean_stop(up: Up) -> None:
    """The ready line, the first request of every user, a restart, and SIGTERM within 10 s."""
    named = dict(place.split("=", 1) for place in up.ready_line.removeprefix("ready ").split())
    assert named.items() >= {role: up.url(role) for role in ROLE_PORTS}.items()
    assert all(api.not_ready(up.url(role)) is None for role in ROLE_PORTS)

    _check_processes(up)
    _check_surplus(up)
    _check_sample(up)
    _check_tenant(up)
    _check_restart(up)

    children = up.children()
    began_s = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0

    assert time.monotonic() - began_s < 10
    assert up.ready_line.count("\n") == 1, "exactly one line on standard output"
    assert all(map(is_gone, children))
    assert not (up.data_dir / "run.json").exists()


def test_kill_9_leaves_nothing_and_the_next_start_succeeds(up: Up, tmp_path: Path) -> None:
    """All children go with the supervisor; the same directory and ports serve again."""
    children = up.children()
    port = int(up.url("edge").rpartition(":")[2])

    up.process.kill()

    wait_until(lambda: all(map(is_gone, children)), 10, "no process is left")
    again = Up(tmp_path, port)
    try:
        assert again.ready_line.startswith("ready ")
        assert again.run["pid"] == again.process.pid
    finally:
        again.process.terminate()
        again.process.wait(15)
        again.close()


def _check_processes(up: Up) -> None:
    """Each child's command line names its role; logs and key are where they belong."""
    lines = [" ".join(child.cmdline()) for child in up.children()]
    for role in ROLE_PORTS:
        assert any("observai " + role in line for line in lines), lines
        assert (up.data_dir / "logs" / f"{role}.jsonl").stat().st_size > 0
    assert stat.S_IMODE((up.data_dir / "default.key").stat().st_mode) == 0o600


def _check_surplus(up: Up) -> None:
    """A process of this deployment that does not hang below the supervisor is found."""
    assert not up.surplus()
    orphan = subprocess.Popen(["sleep", "100"], env=up.environment)
    try:
        wait_until(lambda: up.surplus() == [f"orphan {orphan.pid}: sleep 100"], 5, "it is found")
    finally:
        orphan.kill()
        orphan.wait()


def _check_sample(up: Up) -> None:
    key = (up.data_dir / "default.key").read_text().strip()
    body = json.dumps({"metrics": [{"name": "test", "value": 1}]}).encode()
    url = f"{up.url('edge')}/functions/v1/ingest"
    answer = api.request("POST", url, key=key, body=body)
    assert json.loads(answer.body)["accepted"] == 1

    def is_queryable() -> bool:
        statement = "select value from samples where metric = 'test'"
        sql = role_command("sql", statement, "--data-dir", str(up.data_dir), "--json")
        shown = subprocess.run(sql, capture_output=True, check=False, text=True)
        return shown.returncode == 0 and json.loads(shown.stdout)["rows"] == [[1]]

    wait_until(is_queryable, 20, "the sample can be queried")


def _check_tenant(up: Up) -> None:
    """A tenant and its key by the command line: taken by the edge, and not once it is revoked."""

    def run(*arguments: str) -> str:
        asked = [*arguments, "--data-dir", str(up.data_dir)]
        done = RUNNER.invoke(app, asked, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    def status(key: str) -> int:
        return api.request("GET", f"{up.url('edge')}/api/v1/ingest", key=key).status

    added = json.loads(run("tenant", "add", "acme", "--tier", "pro", "--json"))
    scopes = ("--scope", "write", "--scope", "read", "--expires", "90d")
    made = json.loads(run("key", "create", "--tenant", "acme", *scopes, "--json"))
    assert (added["name"], made["scopes"]) == ("acme", ["write", "read"])
    wait_until(lambda: status(made["key"]) == 200, 2, "the edge knows the key")
    assert "acme\tpro" in run("tenant", "list")
    assert "acme\tpro" in run("tenant", "set", "acme", "--set", "max_labels=9")
    listed = json.loads(run("key", "list", "--tenant", "acme", "--json"))
    assert [one["id"] for one in listed] == [made["id"]]
    rotated = run("key", "rotate", made["id"], "--overlap", "1h").strip()
    wait_until(lambda: status(rotated) == 200, 2, "the edge knows the new key")
    assert run("key", "revoke", made["id"]) == f"revoked {made['id']}\n"
    wait_until(lambda: status(made["key"]) == 401, 2, "the edge has followed")
    assert run("tenant", "remove", "acme") == "removed acme\n"
    wait_until(lambda: status(rotated) == 401, 2, "a removed tenant's keys open nothing")
    wait_until(lambda: "tenant.remove" in run("audit", "--tenant", "acme"), 20, "it is audited")
    assert "enterprise" in run("tenant", "tiers")


def _check_restart(up: Up) -> None:
    os.kill(up.run["pids"]["edge"], signal.SIGKILL)

    def is_back() -> bool:
        try:
            return api.not_ready(up.url("edge")) is None
        except http.client.HTTPException:
            return False

    wait_until(lambda: not is_back(), 5, "the edge is away")
    wait_until(is_back, READY_S, "the edge is back")

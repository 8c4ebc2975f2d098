"""A real `observai up` of a campaign or a test: started, asked, started again, and ended."""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ops import api
from ops.query import Service
from ops.supervise.child import die_with_parent, role_command

START_S, STOP_S = 90.0, 15.0
KAFKA, SUPERVISOR = "kafka", "supervisor"
# Marks all processes of a deployment, whoever their parent is by now.
_MARK = "FAULTS_DEPLOYMENT"
_POLL_S = 0.02
_LINES_SHOWN = 40


class Stuck(Exception):
    """What was waited for did not come; the text says what."""


def wait(
    condition: Callable[[], object], deadline_s: float, what: str, *, poll_s: float = _POLL_S
) -> float:
    """Return after how many seconds the condition held. Raises Stuck."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > deadline_s:
            raise Stuck(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(poll_s)
    return time.monotonic() - began_s


class Up:
    """A running `observai up` and what it wrote about itself.

    folder: gets the output; data_dir lies in it unless given. environment: settings for it.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *options: str,
        data_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir or folder / "data"
        self.output, self.errors = folder / "stdout", folder / "stderr"
        self.mark = uuid.uuid4().hex
        self._port = port
        self.environment = dict(os.environ) | dict(environment or {}) | {_MARK: self.mark}
        self.start(*options)

    def start(self, *options: str) -> None:
        """Start it and return when it is ready. Raises Stuck, and then it has ended."""
        port = str(self._port)
        with self.output.open("wb") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                role_command("up", "--data-dir", str(self.data_dir), "--port", port, *options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self.environment,
                # Ctrl-C must end the caller's work first and this process after it.
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - only asks the kernel
            )
        try:
            wait(self._is_up, START_S, "`observai up` prints its ready line")
        except Stuck:
            self.close()
            raise
        if not self.ready_line:
            lines = self.errors.read_text(errors="replace").splitlines()[-_LINES_SHOWN:]
            code = self.process.returncode
            raise Stuck("\n".join([f"observai up ended with exit code {code}:", *lines]))
        self.run: dict[str, Any] = json.loads((self.data_dir / "run.json").read_text())

    @property
    def ready_line(self) -> str:
        """What it has printed on standard output."""
        return self.output.read_text()

    def url(self, name: str) -> str:
        """URL of a role's process, for example that of `edge-1`."""
        return str(self.run["urls"][name])

    def names(self, role: str = "") -> list[str]:
        """Names of a role's processes, or of all but Kafka."""
        return [name for name in self.run["urls"] if name.partition("-")[0] == role or not role]

    def key(self) -> str:
        """Key of the default tenant."""
        return (self.data_dir / "default.key").read_text().strip()

    def service(self) -> Service:
        """Return the service that runs SQL for the default tenant."""
        return Service(self.url("store"), self.key())

    def pid(self, name: str) -> int | None:
        """Return the present process id of a role's process, None while it is away."""
        return next((one.pid for one in self.children() if _name(one) == name), None)

    def is_ready(self) -> bool:
        """Whether every role's process says so."""
        return all(api.not_ready(url) is None for url in self.run["urls"].values())

    def total(self, role: str, metric: str, label: str) -> float:
        """Return the sum of a metric's series that have a label, over a role's processes."""
        answers = [api.request("GET", f"{self.url(name)}/metrics") for name in self.names(role)]
        lines = [line for one in answers for line in one.body.decode().splitlines()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(f"{metric}{{") and label in line
        )

    def children(self) -> list[psutil.Process]:
        """Return all processes below the supervisor."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def surplus(self) -> list[str]:
        """Return this deployment's processes that should not be, in words."""
        below = {one.pid: _name(one) for one in self.children()}
        expected = {self.process.pid, *below} if self.process.poll() is None else set()
        orphans = [
            f"orphan {one.pid}: {_command(one)}"
            for one in marked(self.mark)
            if one.pid not in expected
        ]
        names = [name for name in below.values() if name]
        twice = {name for name in names if names.count(name) > 1}
        return orphans + [f"{names.count(name)} processes of {name}" for name in sorted(twice)]

    def stop(self) -> None:
        """End it as a user does. Raises Stuck."""
        self.process.send_signal(signal.SIGTERM)
        wait(lambda: self.process.poll() is not None, STOP_S, "`observai up` ends at SIGTERM")

    def close(self) -> None:
        """End it whatever was done; its children end with it."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(Stuck):
            wait(lambda: not marked(self.mark), STOP_S, "no process is left")
        for process in marked(self.mark):
            process.kill()

    def _is_up(self) -> bool:
        return self.process.poll() is not None or self.ready_line.endswith("\n")


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that have a deployment's mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found


def _name(process: psutil.Process) -> str:
    """Return the name of the role's process, empty for another one."""
    line = _command(process).split()
    if "kafka.Kafka" in line:
        return KAFKA
    if line[-2:-1] != ["--slot"]:
        return ""
    role, _, slot = line[-3:]
    return role if slot == "0" else f"{role}-{slot}"


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

"""An `observai up` of one's own for a demo or a benchmark: started, found, and always stopped."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops import api, query
from ops.ports import PortInUseError, check_ports_free, free_base_port
from ops.supervise.child import die_with_parent, role_command, role_environment
from topology.settings import Settings

START_S, STOP_S = 90.0, 12.0
_POLL_S = 0.05
_LINES_SHOWN = 15


class DeploymentError(Exception):
    """It did not start, or ended by itself; the text has its last log lines."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running deployment on a temporary data directory; pids: of each role and of Kafka."""

    settings: Settings
    process: subprocess.Popen[bytes]
    pids: dict[str, int]
    start_seconds: float

    @property
    def write_url(self) -> str:
        """Where remote write goes."""
        return f"{self.settings.role_url('edge')}/api/v1/write"

    @property
    def key(self) -> str:
        """Key of the default tenant."""
        return self.settings.key_file.read_text().strip()

    def store(self, key: str | None = None) -> query.Service:
        """Return the service that runs SQL, for the default tenant or that of a key."""
        return query.Service(self.settings.role_url("store"), key or self.key)

    def counter(self, role: str, name: str) -> float:
        """Return the sum over all labels of one of a role's metrics."""
        return sum(api.metric_values(self.settings.role_url(role), name))


@contextmanager
def deployment(settings: Settings) -> Iterator[Deployment]:
    """Run `observai up` on a temporary directory until the block ends, whatever ends it.

    Everything is embedded, and the base port is another one where that of the settings is taken.
    Raises DeploymentError. SIGTERM ends the block like Ctrl-C.
    """
    with ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="observai-") as folder:
        own = settings.model_copy(
            update={"data_dir": Path(folder) / "data", "kafka": None, "store": None}
        )
        own = own.model_copy(update={"port": _free_port(own)})
        log_file = Path(folder) / "up.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                role_command("up"),
                env=role_environment(own),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C must end our work first and this process after it; kill -9 ends both.
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - no other thread yet
            )
        try:
            began_s = time.monotonic()
            pids = _wait_ready(own, process, log_file)
            yield Deployment(own, process, pids, time.monotonic() - began_s)
        finally:
            _stop(process)


def _wait_ready(own: Settings, process: subprocess.Popen[bytes], log_file: Path) -> dict[str, int]:
    until_s = time.monotonic() + START_S
    while (run := api.read_run(own.data_dir)) is None:
        if process.poll() is not None or time.monotonic() > until_s:
            lines = log_file.read_text(errors="replace").splitlines()[-_LINES_SHOWN:]
            raise DeploymentError("\n".join(["observai up did not get ready:", *lines]))
        time.sleep(_POLL_S)
    pids = run["pids"]
    assert isinstance(pids, dict)
    return pids


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _free_port(settings: Settings) -> int:
    try:
        check_ports_free(settings)
    except PortInUseError:
        return free_base_port()
    return settings.port


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block like Ctrl-C: by an exception."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

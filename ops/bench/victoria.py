"""The same load into VictoriaMetrics, where it is installed: what a receiver alone costs."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from ops import api
from ops.bench.end_to_end import loads
from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.pipeline_run import CONNECTIONS, Load, LossError
from ops.bench.processes import MB, PeakMemory, cpu_seconds, wait_quiet
from ops.bench.scrapes import encode_load, scrape_times_ms
from ops.demo.check import wait_for
from ops.loadgen import send
from ops.ports import free_base_port
from topology.clock import now_ms

NAME = "victoria"
PROGRAM = "victoria-metrics"
_START_S, _STOP_S, _STORED_DEADLINE_S = 20.0, 20.0, 60.0


@dataclass(frozen=True, slots=True)
class Victoria:
    """A running server."""

    pid: int
    url: str
    folder: Path

    def n_samples(self) -> int:
        """Return how many samples can be queried."""
        query = 'sum(count_over_time({job="node-exporter"}[7d]))'
        target = f"{self.url}/api/v1/query?{urlencode({'query': query})}"
        result = json.loads(api.request("GET", target).body)["data"]["result"]
        return int(result[0]["value"][1]) if result else 0


def run(plan: Plan) -> Measurement:
    """Send the loads of the end-to-end benchmark; no figures where the program is missing."""
    if shutil.which(PROGRAM) is None:
        return Measurement(facts={"skipped": f"{PROGRAM} is not on the PATH"})
    measured = Measurement()
    for load in loads(plan):
        figures = _measure(load)
        measured.figures += figures
        measured.facts[load.label] = {"steps": load.steps}
    return measured


def _measure(load: Load) -> list[Figure]:
    bodies = encode_load(load.series, scrape_times_ms(load.steps, now_ms()), load.seed)
    n_samples = sum(body.n_samples for step in bodies for body in step)
    with _victoria() as server:
        pids = {NAME: server.pid}
        wait_quiet(pids, 1.0, deadline_s=5.0)
        before_s = cpu_seconds(pids)[NAME]
        with PeakMemory(pids) as memory:
            url = f"{server.url}/api/v1/write"
            sent = asyncio.run(send(url, "none", bodies, CONNECTIONS))
            wait_quiet(pids, load.settle_s)
        cpu_s = cpu_seconds(pids)[NAME] - before_s
        if wait_for(server.n_samples, n_samples, _STORED_DEADLINE_S) is None:
            raise LossError(f"{server.n_samples():,} of {n_samples:,} samples can be queried")
        disk = sum(file.stat().st_size for file in server.folder.rglob("*") if file.is_file())
    name = f"{NAME} {load.label}"
    return [
        Figure(name, "accepted", "samples/s", [n_samples / sent.seconds]),
        Figure(name, "all of it", "samples/CPU-s", [n_samples / cpu_s]),
        Figure(name, "CPU", "us/sample", [cpu_s / n_samples * 1e6]),
        Figure(name, "disk, with index", "bytes/sample", [disk / n_samples]),
        Figure(name, "peak memory (PSS)", "MB", [memory.peak_of_all / MB]),
    ]


def version() -> str | None:
    """Return what the program says of itself, None where it is missing."""
    if (program := shutil.which(PROGRAM)) is None:
        return None
    if said := _said_by(program, "--version"):
        return said
    # Debian's is built without one.
    query = shutil.which("dpkg-query")
    return _said_by(query, "-W", "-f=${Version}", PROGRAM) if query else None


def _said_by(program: str, *arguments: str) -> str | None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - found on the PATH
    return done.stdout.strip() or None


@contextlib.contextmanager
def _victoria() -> Iterator[Victoria]:
    address = f"127.0.0.1:{free_base_port()}"
    with tempfile.TemporaryDirectory(prefix="observai-victoria-") as folder:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [
                shutil.which(PROGRAM) or PROGRAM,
                f"-storageDataPath={folder}",
                f"-httpListenAddr={address}",
                "-search.latencyOffset=0s",
                # A query over more than 300,000 series is refused by default.
                "-search.maxUniqueTimeseries=2000000",
                "-loggerLevel=ERROR",
            ],
            stdin=subprocess.DEVNULL,
        )
        try:
            server = Victoria(process.pid, f"http://{address}", Path(folder))
            wait_for(lambda: _answers(server), 1, _START_S)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(server: Victoria) -> bool:
    try:
        return api.request("GET", f"{server.url}/health", timeout_s=1).status == 200
    except OSError:
        time.sleep(0.1)
        return False

"""A real `observai up` for tests: started, asked, and ended whatever the test did."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from ops import api
from ops.query import Service

OBSERVAI = Path(sys.prefix) / "bin" / "observai"


class Up:
    """A running `observai up` and what it wrote about itself."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.data_dir = folder / "data"
        self._errors = (folder / "stderr").open("ab")
        self.process = subprocess.Popen(
            [OBSERVAI, "up", "--data-dir", self.data_dir, "--port", str(port), *options],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout
        self.ready_line = self.process.stdout.readline()
        assert self.ready_line, (folder / "stderr").read_text()[-5000:]
        self.run: dict[str, Any] = json.loads((self.data_dir / "run.json").read_text())

    def url(self, role: str) -> str:
        return str(self.run["urls"][role])

    def key(self) -> str:
        return (self.data_dir / "default.key").read_text().strip()

    def service(self) -> Service:
        return Service(self.url("store"), self.key())

    def pid(self, name: str) -> int | None:
        """Return the present process id of a role's process, None while it is away."""
        role, _, number = name.partition("-")
        ending = [role, "--slot", number or "0"]
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[-3:] == ending:
                    return child.pid
        return None

    def is_ready(self) -> bool:
        return all(api.not_ready(url) is None for url in self.run["urls"].values())

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """End it whatever the test did."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self._errors.close()

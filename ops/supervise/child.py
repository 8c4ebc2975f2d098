"""One child process: how it is started, what it said last, how it is stopped."""

import asyncio
import collections
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.supervise.log_lines import readable
from topology.runtime import PARENT_ENV
from topology.settings import ENV_PREFIX, Settings

TAIL_LINES = 30
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run, and how to ask whether it is ready: None, or the reason why not."""

    name: str
    command: list[str]
    environment: dict[str, str]
    not_ready: Callable[[], Awaitable[str | None]]


@dataclass(slots=True)
class Child:
    """A started process of a Spec, with the last lines that it printed."""

    spec: Spec
    process: asyncio.subprocess.Process
    born_s: float
    tail: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=TAIL_LINES)
    )
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, spec: Spec, inherited: int) -> "Child":
        """Start the process; it inherits one descriptor, and dies when this process dies."""
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            env=spec.environment,
            pass_fds=(inherited,),
            # Ctrl-C must reach the supervisor alone, which stops the children in order.
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
        child = cls(spec, process, time.monotonic())
        child._reader = asyncio.create_task(child._read_lines())
        return child

    async def wait(self) -> int:
        """Return the exit code when the process has ended and its output is read."""
        code = await self.process.wait()
        if self._reader:
            # A grandchild may hold the pipe open.
            await asyncio.wait([self._reader], timeout=1)
        return code

    async def stop(self, deadline_s: float) -> None:
        """SIGTERM, then SIGKILL at the deadline (monotonic time)."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(max(deadline_s - time.monotonic(), 0)):
                await self.process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def _read_lines(self) -> None:
        assert self.process.stdout
        while line := await _next_line(self.process.stdout):
            text = readable(self.spec.name, line)
            self.tail.append(text)
            # Elsewhere than on a terminal, JSON stays JSON.
            shown = text if sys.stderr.isatty() else line.decode(errors="replace").rstrip()
            # The child's own log has the line, too; where standard error is on a full disk, the
            # child must not be kept from writing on.
            with contextlib.suppress(OSError):
                print(shown, file=sys.stderr, flush=True)


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than the limit; the reader has dropped it
        return b"(a line longer than 1 MiB)\n"


def role_command(role: str, *arguments: str) -> list[str]:
    """Return a role's command line; it names the role as the word after the program's."""
    script = Path(sys.prefix) / "bin" / "observai"
    program = [str(script)] if script.exists() else [sys.executable, "-m", "ops.cli.app"]
    return [*program, role, *arguments]


def role_environment(settings: Settings) -> dict[str, str]:
    """Return the environment that gives a child exactly these settings."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    inside = {
        ENV_PREFIX + name.upper(): str(value)
        for name, value in settings.model_dump().items()
        if value is not None
    }
    return outside | inside | {PARENT_ENV: str(os.getpid())}


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a child runs before its program: the kernel kills it when the parent dies."""

    def set_death_signal() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died between fork and prctl.
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal

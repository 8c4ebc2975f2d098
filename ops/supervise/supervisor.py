"""The supervisor: starts children, restarts one that dies, stops all in order."""

import asyncio
import collections
import signal
import time
from collections.abc import Callable, Iterable

import structlog

from ops.supervise.child import Child, Spec

MAX_DEATHS, DEATHS_WITHIN_S = 5, 60.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.25, 8.0
# Of deaths that do not count: such as of a full disk, which passes when someone makes room.
EXCUSED_BACKOFF_S = 4.0
_POLL_S = 0.05


class StartError(Exception):
    """A child did not become ready in time; the text says which and why."""


class Supervisor:
    """Keeps one process per Spec alive until stop().

    `failed` is set, with `reason`, when a child died MAX_DEATHS times within DEATHS_WITHIN_S
    before all had once been ready: after that the others are not ended for its sake.
    excuse: why deaths now are no reason to give up, if they are none: they do not count.
    on_restart: called when a child has got another process id.
    """

    def __init__(
        self,
        inherited: int,
        excuse: Callable[[], str | None] = lambda: None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._inherited = inherited
        self._excuse = excuse
        self._on_restart = on_restart
        self._has_been_ready = False
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._log = structlog.get_logger("up")
        self.failed = asyncio.Event()
        self.reason = ""

    async def start(self, spec: Spec) -> None:
        """Start a child and watch over it from now on."""
        self._children[spec.name] = await Child.start(spec, self._inherited)
        self._watchers.append(asyncio.create_task(self._watch(spec)))

    async def wait_ready(self, specs: Iterable[Spec], deadline_s: float) -> None:
        """Return when every child says that it is ready; raises StartError.

        While there is an excuse the deadline is put off: what a start waits for then passes only
        when someone makes room.
        """
        reasons: dict[str, str] = {}
        polls = asyncio.gather(*(self._poll(spec, reasons) for spec in specs))
        try:
            while not (await asyncio.wait({polls}, timeout=deadline_s))[0]:
                late = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
                if (excuse := self._excuse()) is None:
                    raise StartError(f"not ready after {deadline_s:.0f} s: {late}")
                self._log.warning("not ready yet", because=excuse, waiting_for=late)
            polls.result()
        finally:
            polls.cancel()

    def keep_on(self) -> None:
        """All have been ready: from now on start again whatever dies, however often."""
        self._has_been_ready = True

    def pids(self) -> dict[str, int]:
        """Return the process id of each child by its name."""
        return {name: child.process.pid for name, child in self._children.items()}

    async def stop(self, order: Iterable[Iterable[str]], stage_s: float) -> None:
        """Stop group after group; each has stage_s, and what the groups before it left over."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        deadline_s = time.monotonic()
        for group in order:
            deadline_s += stage_s
            present = [self._children[name] for name in group if name in self._children]
            await asyncio.gather(*(child.stop(deadline_s) for child in present))

    def kill_all(self) -> None:
        """End all children at once: safe for the data at every point, only the start is slower."""
        for child in self._children.values():
            child.send(signal.SIGKILL)

    async def _poll(self, spec: Spec, reasons: dict[str, str]) -> None:
        while (reason := await spec.not_ready()) is not None:
            reasons[spec.name] = reason
            await asyncio.sleep(_POLL_S)
        reasons.pop(spec.name, None)

    async def _watch(self, spec: Spec) -> None:
        deaths_s: collections.deque[float] = collections.deque(maxlen=MAX_DEATHS)
        while True:
            child = self._children[spec.name]
            code = await child.wait()
            if (excuse := self._excuse()) is not None:
                deaths_s.clear()
                backoff_s = EXCUSED_BACKOFF_S
            else:
                now_s = time.monotonic()
                deaths_s.append(now_s)
                recent = [death_s for death_s in deaths_s if now_s - death_s <= DEATHS_WITHIN_S]
                if len(recent) >= MAX_DEATHS and not self._has_been_ready:
                    self._fail(child, code)
                    return
                backoff_s = min(FIRST_BACKOFF_S * 2 ** (len(recent) - 1), MAX_BACKOFF_S)
            self._log.warning(
                "child died", child=spec.name, code=code, restart_in_s=backoff_s, because=excuse
            )
            await asyncio.sleep(backoff_s)
            self._children[spec.name] = await Child.start(spec, self._inherited)
            self._log.info("child restarted", child=spec.name, pid=self.pids()[spec.name])
            self._on_restart()

    def _fail(self, child: Child, code: int) -> None:
        last = "\n".join(child.tail) or "(it printed nothing)"
        self.reason = (
            f"{child.spec.name} died {MAX_DEATHS} times within {DEATHS_WITHIN_S:.0f} s, last with "
            f"exit code {code}; its last lines:\n{last}"
        )
        self.failed.set()

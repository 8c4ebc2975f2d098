"""Does to a running deployment what a drawn fault says."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from ops import api
from ops.faults.client import Client, WrongAnswer
from ops.faults.disk import Disk
from ops.faults.plan import Fault, Kind
from ops.faults.running import KAFKA, SUPERVISOR, Up, wait
from ops.faults.traffic import Jump
from ops.partitions import grow, look
from ops.supervise.child import die_with_parent, role_command
from topology.settings import Settings

_BACK_S, _EXTRA_READY_S = 60.0, 60.0
_FILL_EVERY_S = 0.1
_JUMP_STEPS = 6
_EXTRA_PORT = 59
_LEAVE_S = 12.0


class Inflictor:
    """Inflicts faults and says on whom. A killed supervisor is left to be started again."""

    def __init__(self, up: Up, clients: Sequence[Client], disk: Disk) -> None:
        self._up = up
        self._clients = clients
        self._disk = disk
        self._ways: Mapping[Kind, Callable[[Fault], list[str]]] = {
            Kind.KILL: self._kill,
            Kind.KILL_TWO: self._kill,
            Kind.KILL_AGAIN: self._kill_again,
            Kind.STOP: self._stop,
            Kind.REBALANCE: self._rebalance,
            Kind.FULL_DISK: self._fill,
            Kind.CLOCK_JUMP: self._jump,
            Kind.GROW: self._grow,
        }

    def inflict(self, fault: Fault) -> list[str]:
        """Do it, and return the names of the victims; the fault is over when this returns."""
        return self._ways[fault.kind](fault)

    def _kill(self, fault: Fault) -> list[str]:
        if fault.role == SUPERVISOR:
            self._kill_supervisor()
            return [SUPERVISOR]
        victims = self._victims(fault, 1 + (fault.kind is Kind.KILL_TWO))
        for name in victims:
            self._signal(name, signal.SIGKILL)
        return victims

    def _kill_again(self, fault: Fault) -> list[str]:
        """Kill one, and its successor while that recovers."""
        (victim,) = self._victims(fault, 1)
        before = self._signal(victim, signal.SIGKILL)
        wait(lambda: self._up.pid(victim) not in {None, before}, _BACK_S, f"{victim} is restarted")
        time.sleep(fault.lasts_s)
        self._signal(victim, signal.SIGKILL)
        return [victim, victim]

    def _stop(self, fault: Fault) -> list[str]:
        """Halt one, so that others take it for dead, and let it go on as if nothing were."""
        (victim,) = self._victims(fault, 1)
        self._signal(victim, signal.SIGSTOP)
        time.sleep(fault.lasts_s)
        self._signal(victim, signal.SIGCONT)
        return [victim]

    def _rebalance(self, fault: Fault) -> list[str]:
        """End workers by turns while one more joins and leaves."""
        is_kind = fault.others[0] % 2 == 0
        victims = ["extra worker"]
        extra = ExtraWorker(self._up)
        try:
            for number in fault.others[1:5]:
                workers = self._up.names("worker")
                victims.append(workers[number // 2 % len(workers)])
                self._signal(victims[-1], signal.SIGTERM if number % 2 else signal.SIGKILL)
                time.sleep(0.5 + number % 1000 / 1000)
            extra.wait_ready()
        finally:
            extra.end(signal.SIGTERM if is_kind else signal.SIGKILL)
        return victims

    def _fill(self, fault: Fault) -> list[str]:
        until_s = time.monotonic() + fault.lasts_s
        try:
            while time.monotonic() < until_s:
                self._disk.fill(self._up)
                time.sleep(_FILL_EVERY_S)
        finally:
            self._disk.free(self._up)
        return ["disk"]

    def _jump(self, fault: Fault) -> list[str]:
        """Let the senders' clocks be wrong; what the edges refuse for it they must count."""
        before = self._refused()
        self._jump_and_back(fault.ahead_ms)
        counted, told, retries = (
            int(now - then) for now, then in zip(self._refused(), before, strict=True)
        )
        # What was refused and then sent again is counted again.
        if counted < told or (counted > told and not retries):
            raise WrongAnswer(f"the edges refused {told} samples, and counted {counted}")
        return [f"{fault.ahead_ms / 60_000:+.0f} min"]

    def _refused(self) -> tuple[float, int, int]:
        """Return what the edges have counted, what clients were told, and their retries."""
        ledgers = [client.stream.ledger for client in self._clients]
        return (
            self._up.total("edge", "observai_samples_rejected_total", 'reason="future"'),
            sum(ledger.n_refused for ledger in ledgers),
            sum(ledger.n_retries for ledger in ledgers),
        )

    def _jump_and_back(self, ahead_ms: int) -> None:
        sources = [client.stream.source for client in self._clients]
        for source in sources:
            source.jump(Jump(ahead_ms, _JUMP_STEPS))
        for client, source in zip(self._clients, sources, strict=True):
            wait(
                lambda client=client, source=source: client.failure or not source.jumps_left,  # type: ignore[misc]
                _BACK_S,
                "the sender's clock is right again",
            )
            client.wait_for_requests(1)

    def _grow(self, _: Fault) -> list[str]:
        """Add a partition; whoever reads or writes follows while the next faults come."""
        settings = Settings(kafka=self._up.run["kafka"])
        n_partitions = asyncio.run(look(settings, {})).count + 1
        asyncio.run(grow(settings, n_partitions))
        return [str(n_partitions)]

    def _kill_supervisor(self) -> None:
        self._up.process.kill()
        self._up.process.wait()

    def _victims(self, fault: Fault, n: int) -> list[str]:
        """Return so many names: the first of the fault's role."""
        everyone = [name for name in self._up.names() if name != "notifier"] + [KAFKA]
        chosen: list[str] = []
        for number in fault.others[:n]:
            of_role = [name for name in everyone if name.partition("-")[0] == fault.role]
            names = of_role if of_role and not chosen else [x for x in everyone if x not in chosen]
            chosen.append(names[number % len(names)])
        return chosen

    def _signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a process that is there or comes back soon; return its id."""
        found: list[int] = []

        def is_there() -> bool:
            # Kept: a look at all processes now and then passes over one of them.
            pid = self._up.pid(name)
            found.extend([] if pid is None else [pid])
            return bool(found)

        wait(is_there, _BACK_S, f"{name} runs")
        os.kill(found[0], number)
        return found[0]


class ExtraWorker:
    """A worker started by role with settings alone, as on another machine."""

    def __init__(self, up: Up) -> None:
        port = int(up.url("edge").rpartition(":")[2]) + _EXTRA_PORT
        self._url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            role_command("worker"),
            env=up.environment
            | {
                "OBSERVAI_KAFKA": up.run["kafka"],
                "OBSERVAI_SLOT": "elsewhere",
                "OBSERVAI_LISTEN_PORT": str(port),
                "OBSERVAI_DATA_DIR": str(up.data_dir.with_name("elsewhere")),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - only asks the kernel
        )

    def wait_ready(self) -> None:
        """Return when it has taken up its partitions. Raises Stuck."""
        wait(lambda: api.not_ready(self._url) is None, _EXTRA_READY_S, "one more worker is ready")

    def end(self, number: signal.Signals) -> None:
        """Let it leave, or kill it."""
        self.process.send_signal(number)
        try:
            self.process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

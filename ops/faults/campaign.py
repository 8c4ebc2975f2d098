"""A campaign: load, faults one after the other, recovery after each, and full checks."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from ops.api import ApiError
from ops.faults.check import CLOSED_AFTER_MS, Checked, check_until_right, n_stored
from ops.faults.client import Stream
from ops.faults.disk import Disk
from ops.faults.inflict import Inflictor
from ops.faults.load import LIVE, LIVE_DELAY_MS, Load
from ops.faults.plan import Fault, Plan, draw_faults, in_volleys
from ops.faults.probe import Probe
from ops.faults.result import Inflicted, Result
from ops.faults.running import SUPERVISOR, Stuck, Up, wait
from ops.faults.traffic import MINUTE_MS
from ops.query import Service
from topology.clock import now_ms

RECOVERY_S = 120.0
# Late samples are computed again in a lane of their own, which a busy machine lets wait.
_CONVERGE_S, _STORED_S, _SURPLUS_S = 300.0, 60.0, 10.0
_POLL_S = 0.1


def layout_options(layout: int) -> tuple[str, ...]:
    """Return the options of `up` for so many workers and as many edges."""
    return ("--workers", str(layout), "--edges", str(layout))


class Campaign:
    """One run over a plan; `result` grows as it goes on.

    up: runs with the first layout of the plan, on the disk. say: told what happens, line by line.
    """

    def __init__(
        self, plan: Plan, up: Up, disk: Disk, result: Result, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._say = say
        self.up = up
        self.result = result
        self._layout = plan.layouts[0]
        self.load = Load(self.up, plan)
        self._probe = Probe(self.up)
        self._inflictor = Inflictor(self.up, self.load.clients, disk)

    def run(self) -> None:
        """Inflict all faults. Raises Stuck where it cannot go on; all else stands in the result."""
        self.load.start()
        for client in self.load.clients:
            client.wait_for_requests(10)
        self._say(f"{len(self.load.clients)} clients send")
        n_groups = 1
        for volley in in_volleys(draw_faults(self._plan), self._plan.together):
            self._recover([self._inflict(fault) for fault in volley])
            if n_groups * self._plan.group <= volley[-1].number < self._plan.n_faults:
                self._end_group(n_groups)
                n_groups += 1
        self._end()

    def abandon(self) -> None:
        """End the clients wherever they are."""
        for client in self.load.clients:
            client.abandon()

    def _inflict(self, fault: Fault) -> Inflicted:
        began_s = time.monotonic()
        inflicted = Inflicted(fault, self._layout)
        self.result.faults.append(inflicted)
        inflicted.victims = self._inflictor.inflict(fault)
        inflicted.took_s = time.monotonic() - began_s
        inflicted.ended_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]
        self._say(
            f"{fault.number:>4}/{self._plan.n_faults} {fault.kind:<10} "
            f"{', '.join(inflicted.victims):<40} {inflicted.took_s:5.1f} s"
        )
        return inflicted

    def _recover(self, volley: Sequence[Inflicted]) -> None:
        began_s = time.monotonic()
        last = volley[-1]
        self._probe.begin(last.fault.number)

        def is_through() -> bool:
            if (code := self.up.process.poll()) is not None:
                if SUPERVISOR not in last.victims:
                    last.gave_up = True
                    self._violated(f"fault {last.fault.number}: `up` ended with code {code}")
                self._start()
            return self._probe.is_through()

        wait(is_through, RECOVERY_S, "all ready, and a fresh sample queryable", poll_s=_POLL_S)
        last.recovery_s = time.monotonic() - began_s
        self._say(f"     recovered in {last.recovery_s:.2f} s")
        self._check_processes(f"after fault {last.fault.number}")
        self.load.check()

    def _start(self) -> None:
        self.up.start(*layout_options(self._layout))
        self.load.follow_edges()

    def _check_processes(self, when: str) -> None:
        try:
            wait(lambda: not self.up.surplus(), _SURPLUS_S, "no surplus process", poll_s=_POLL_S)
        except Stuck:
            surplus = self.up.surplus()
            self.result.orphans += len(surplus)
            self._violated(f"{when}: {'; '.join(surplus)}")

    def _end_group(self, n_groups: int) -> None:
        """Begin a new generation; the one before must be stored, and that before it all right."""
        ended = self.load.generation
        self.load.next_generation()
        for stream in self.load.of(ended):
            self._check_stored(stream)
        for stream in self.load.of(ended - 1):
            self._check(stream)
        layout = self._plan.layouts[n_groups % len(self._plan.layouts)]
        if layout != self._layout:
            self._layout = layout
            self._restart()

    def _restart(self) -> None:
        """Stop as a user does, which leaves nothing, and start with the layout of now."""
        self.up.stop()
        if self.up.process.returncode:
            self._violated(f"`up` ended with code {self.up.process.returncode} at SIGTERM")
        self._check_processes("after SIGTERM")
        self._start()
        self._say(f"     restarted with {self._layout} workers and {self._layout} edges")

    def _end(self) -> None:
        """End the load, and check all generations from the first on."""
        self.load.finish()
        self._say("     load ended; waiting until the last windows are closed")
        live_ms = LIVE_DELAY_MS * (self.load.generation % 2 == 0)
        last_ms = self.load.ended_ms[self.load.generation]
        due_ms = last_ms + max(0, MINUTE_MS - live_ms) + CLOSED_AFTER_MS
        time.sleep(max(0, due_ms - now_ms()) / 1000)
        for stream in [*self.load.streams, self._probe.stream]:
            self._check(stream, is_silent=True)
        self._check_processes("at the end")
        self.up.stop()
        self._check_processes("after the end")

    def _check_stored(self, stream: Stream) -> None:
        wanted = len(stream.ledger.samples().series)
        store = self._service(stream)

        def is_stored() -> bool:
            try:
                return n_stored(store, stream) == wanted
            except ApiError:
                return False

        try:
            wait(is_stored, _STORED_S, "all samples stored", poll_s=1.0)
        except Stuck:
            # The full check then says which.
            self._say(f"     {stream.metric} {stream.generation}: not all samples are stored yet")

    def _check(self, stream: Stream, *, is_silent: bool = False) -> None:
        # Windows of the live client's tenant end late by as much as it may be behind.
        behind_ms = 0 if is_silent or stream.metric != LIVE else LIVE_DELAY_MS
        checked = check_until_right(self._service(stream), stream, _CONVERGE_S, behind_ms)
        self.result.checks.append(checked)
        self._say(_summary(checked))
        if not checked.is_right:
            self._violated(f"{checked.metric} of generation {checked.generation} differs")
            for name, difference in checked.differences.items():
                for example in difference.examples:
                    self._say(f"     {name} {example}")

    def _service(self, stream: Stream) -> Service:
        return Service(self.up.url("store"), stream.key)

    def _violated(self, text: str) -> None:
        self.result.violations.append(text)
        self._say(f"VIOLATION: {text}")


def _summary(checked: Checked) -> str:
    parts = [
        f"{name}: {one.compared:,}"
        + (
            ""
            if one.is_none
            else f" ({one.lost} lost, {one.doubled} doubled, {one.wrong} wrong, "
            f"{one.unknown} unknown)"
        )
        for name, one in checked.differences.items()
    ]
    return (
        f"     {'right' if checked.is_right else 'WRONG'}: {checked.metric} "
        f"{checked.generation}, {'; '.join(parts)} in {checked.seconds:.1f} s"
    )

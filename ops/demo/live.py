"""The live machine's own metrics, read and sent every second, and how soon they can be queried."""

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np

from ops.demo.check import wait_for
from ops.demo.progress import Advance
from ops.loadgen import RequestTemplate, Sender, encode_series
from ops.query import Service
from ops.record import read_devices, read_machine, read_processes
from topology.clock import now_ms

LABELS = {"job": "observai-demo", "instance": "live"}
_EVERY_S = 1.0
_VISIBLE_DEADLINE_S = 15.0


@dataclass(slots=True)
class Live:
    """What was streamed; delays_s: of each reading until it could be queried."""

    n_samples: int = 0
    newest_ms: int = 0
    delays_s: list[float] = field(default_factory=list)


async def stream(sender: Sender, store: Service, seconds: float, advance: Advance) -> Live:
    """Read, send, and wait until the reading can be queried, for so many seconds."""
    live = Live()
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        step_s = time.monotonic()
        live.newest_ms = now_ms()
        live.n_samples += await _send_reading(sender, live.newest_ms)
        statement = f"SELECT count() FROM samples WHERE time >= {_as_time(live.newest_ms)}"  # noqa: S608 - a number only
        found = wait_for(lambda: store.table(statement).rows[0][0], 1, _VISIBLE_DEADLINE_S)  # noqa: B023 - called at once
        if found is not None:
            live.delays_s.append((now_ms() - live.newest_ms) / 1000)
        await asyncio.sleep(max(0.0, step_s + _EVERY_S - time.monotonic()))
        advance(time.monotonic() - step_s)
    return live


async def _send_reading(sender: Sender, time_ms: int) -> int:
    readings = [*read_machine(), *read_devices(), *read_processes({})]
    names = [{"__name__": name} | labels | LABELS for name, labels, _ in readings]
    values = np.array([value for _, _, value in readings])
    await sender.send(RequestTemplate([encode_series(one) for one in names]).body(time_ms, values))
    return len(readings)


def _as_time(time_ms: int) -> str:
    return f"fromUnixTimestamp64Milli({time_ms}, 'UTC')"

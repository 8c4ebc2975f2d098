"""A supervisor over stand-ins for roles, run as a process of its own so that it can be killed.

Given a DATA_DIR it prints the process ids as JSON, then runs until SIGTERM.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from ops.supervise import data_lock
from ops.supervise.child import Spec
from ops.supervise.supervisor import Supervisor

# Ignores SIGTERM, as a hung role does.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


async def main(data_dir: Path) -> None:
    """Start two children that only SIGKILL ends, and wait for SIGTERM."""
    lock = data_lock.acquire(data_dir, "http://stand-in")
    supervisor = Supervisor(lock.descriptor)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    for name in ("edge", "store"):
        await supervisor.start(spec(name, STUBBORN))
    print(json.dumps({"pid": os.getpid(), "children": supervisor.pids()}), flush=True)
    await stop.wait()
    await supervisor.stop([["edge"], ["store"]], stage_s=0.3)
    lock.release()


def spec(name: str, program: str) -> Spec:
    """Return a stand-in that runs a Python program and is ready at once."""

    async def not_ready() -> str | None:
        return None

    return Spec(name, [sys.executable, "-c", program], dict(os.environ), not_ready)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

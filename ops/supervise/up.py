"""`observai up`: Kafka, the topics and the processes of all roles on one machine."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import structlog

from ops import api
from ops.broker.files import ensure_files
from ops.broker.process import is_answering, prepare
from ops.kernels import drop_stale
from ops.ports import check_ports_free
from ops.progress import report_download
from ops.setup import compile_kernels
from ops.supervise import data_lock
from ops.supervise.child import Spec, role_command, role_environment
from ops.supervise.instances import Instance, instances, urls
from ops.supervise.supervisor import StartError, Supervisor
from topology.disk import Disk
from topology.logs import configure_logs
from topology.settings import Settings
from topology.topics import ensure_topics

START_DEADLINE_S = 60.0
# Four groups in ten seconds at most; one that is done early leaves its time to the next.
STOP_ORDER = (("edge",), ("worker",), ("store", "notifier"), ("kafka",))
STOP_STAGE_S = 2.3


def run_up(settings: Settings) -> int:
    """Run the deployment until SIGTERM or SIGINT; return the exit code.

    Raises DataDirInUseError, PortInUseError, BrokerFilesError, BrokerError.
    """
    lock = data_lock.acquire(settings.data_dir, settings.role_url("edge"))
    try:
        check_ports_free(settings)
        configure_logs("up", settings.data_dir / "logs", settings.log_level)
        if settings.kafka is None:
            ensure_files(settings.cache_dir, report_download())
        if drop_stale():
            compile_kernels()
        return asyncio.run(_run(settings, lock.descriptor))
    finally:
        lock.release()


async def _run(settings: Settings, lock_descriptor: int) -> int:
    disk = Disk(settings.data_dir.absolute(), settings.min_free_bytes)
    supervisor = Supervisor(
        lock_descriptor, disk.shortage, lambda: _rewrite_run_file(settings, supervisor)
    )
    stop = _stop_on_signals(supervisor)
    log = structlog.get_logger("up")
    start = asyncio.create_task(_start(settings, supervisor))
    waits = {start, asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.failed.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if start.done() and start.exception() is None:
            await asyncio.wait(waits - {start}, return_when=asyncio.FIRST_COMPLETED)
        code = _exit_code(log, start, supervisor)
        if code and (shortage := disk.shortage()) is not None:
            log.error("disk nearly full", reason=shortage)
            print(f"observai up: {shortage}", file=sys.stderr)
        return code
    finally:
        for wait in waits:
            wait.cancel()
        await supervisor.stop(_stop_order(settings), STOP_STAGE_S)
        run_file(settings).unlink(missing_ok=True)
        log.info("stopped")


async def _start(settings: Settings, supervisor: Supervisor) -> None:
    """Start Kafka, make the topics, start the roles; print the ready line."""
    began_s = time.monotonic()
    if settings.kafka is None:
        kafka = await _kafka_spec(settings)
        await supervisor.start(kafka)
        await supervisor.wait_ready([kafka], START_DEADLINE_S)
    await ensure_topics(settings)
    roles = [_role_spec(instance, settings) for instance in instances(settings)]
    for role in roles:
        await supervisor.start(role)
    await supervisor.wait_ready(roles, START_DEADLINE_S)
    supervisor.keep_on()
    log = structlog.get_logger("up")
    log.info("ready", seconds=round(time.monotonic() - began_s, 1))
    for name, url in urls(settings).items():
        reason = await asyncio.to_thread(api.not_ready, url)
        if reason is not None:
            log.warning("started, but not ready", role=name, reason=reason)
    _write_run_file(settings, supervisor)
    print(ready_line(settings), flush=True)


def ready_line(settings: Settings) -> str:
    """Return the one line on standard output that says where everything is."""
    others = {"kafka": settings.kafka_bootstrap, "key": str(settings.key_file)}
    places = urls(settings) | others
    return "ready " + " ".join(f"{name}={place}" for name, place in places.items())


def run_file(settings: Settings) -> Path:
    """File by which other commands find the running deployment of a data directory."""
    return settings.data_dir / "run.json"


async def _kafka_spec(settings: Settings) -> Spec:
    async def not_ready() -> str | None:
        bootstrap = settings.kafka_bootstrap
        return None if await is_answering(bootstrap) else f"no answer from {bootstrap}"

    # Formatting a new data directory takes a second.
    command = await asyncio.to_thread(prepare, settings)
    return Spec("kafka", command, role_environment(settings), not_ready)


def _role_spec(instance: Instance, settings: Settings) -> Spec:
    async def not_ready() -> str | None:
        url = instance.url(settings)
        return await asyncio.to_thread(api.not_ready, url, but_started=True)

    own = instance.settings(settings)
    command = role_command(instance.role, "--slot", own.slot)
    return Spec(instance.name, command, role_environment(own), not_ready)


def _stop_order(settings: Settings) -> list[list[str]]:
    """Return the names of the children, group after group as they are to stop."""
    return [
        ["kafka"] * ("kafka" in roles)
        + [one.name for one in instances(settings) if one.role in roles]
        for roles in STOP_ORDER
    ]


def _stop_on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event set by the first SIGTERM or SIGINT; a second one kills the children."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill_all()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _exit_code(
    log: structlog.stdlib.BoundLogger, start: asyncio.Task[None], supervisor: Supervisor
) -> int:
    if supervisor.failed.is_set():
        log.error("giving up", child=supervisor.reason.split()[0])
        print(f"observai up: {supervisor.reason}", file=sys.stderr)
        return 1
    if start.done() and (error := start.exception()):
        if not isinstance(error, StartError):
            raise error
        print(f"observai up: {error}", file=sys.stderr)
        return 1
    return 0


def _rewrite_run_file(settings: Settings, supervisor: Supervisor) -> None:
    """Write the file again if it is there: it says that all have once been ready."""
    if not run_file(settings).exists():
        return
    try:
        _write_run_file(settings, supervisor)
    except OSError as error:
        # A full disk, maybe: the children are kept up all the same.
        structlog.get_logger("up").warning("run.json is out of date", error=str(error))


def _write_run_file(settings: Settings, supervisor: Supervisor) -> None:
    holder = data_lock.read_holder(settings.data_dir)
    run = {
        "pid": holder.pid if holder else None,
        "started_s": holder.started_s if holder else None,
        "urls": urls(settings),
        "kafka": settings.kafka_bootstrap,
        "key_file": str(settings.key_file.absolute()),
        "pids": supervisor.pids(),
    }
    # Whoever reads it meanwhile finds the one before, whole.
    written = run_file(settings).with_suffix(".new")
    written.write_text(json.dumps(run, indent=1))
    written.replace(run_file(settings))

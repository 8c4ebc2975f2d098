"""What every role has in common: logs, signals, health, its HTTP server and its parent."""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog
import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from topology.http_server import (
    KEEP_ALIVE_S,
    Bounds,
    Server,
    listen,
    protocol_of,
)
from topology.logs import configure_logs
from topology.memory import give_back_large_arrays
from topology.metrics import Metrics
from topology.openapi import Documented, Error, Spec, document_route
from topology.places import Places, allow_files, places_for
from topology.settings import Settings
from topology.tls import tls_of
from topology.web import Web, unrouted

# Names the supervisor's process; the role leaves when that is gone.
PARENT_ENV = "OBSERVAI_PARENT_PID"
STOP_DEADLINE_S = 9.0
_PARENT_CHECK_S = 0.5


class Readiness(msgspec.Struct, frozen=True):
    """The answer of /readyz. may_recover: whether it may get ready by itself. reasons: by part."""

    status: str
    role: str
    may_recover: bool
    reasons: dict[str, str]


_LIVE = Spec("says that the process runs", produces=("text/plain",), needs_key=False)
_READY = Spec(
    "says whether the role is ready, or why not",
    answer=Readiness,
    refusals=(Error, Readiness),
    needs_key=False,
)
_METRICS = Spec("the role's own metrics", produces=("text/plain",), needs_key=False)


class Health:
    """Reasons why a role is not ready, by part; ready when there is none."""

    def __init__(self) -> None:
        self._reasons: dict[str, str | None] = {"start": "starting"}
        self._standing: set[str] = set()

    def set(self, part: str, reason: str | None) -> None:
        """Say that a part is ready (None) or why not."""
        self._reasons[part] = reason
        self._standing.discard(part)

    def stand_still(self, part: str, reason: str) -> None:
        """Say why a part will not be ready by itself: no start should wait for it."""
        self._reasons[part] = reason
        self._standing.add(part)

    def may_recover(self) -> bool:
        """Whether some part may still become ready by itself."""
        return any(part not in self._standing for part in self.reasons())

    def reasons(self) -> dict[str, str]:
        """Return the parts that are not ready and why."""
        return {part: reason for part, reason in self._reasons.items() if reason is not None}


@dataclass
class Context:
    """What a role is given: its settings, metrics, health, log, and the event that ends it."""

    role: str
    settings: Settings
    metrics: Metrics
    health: Health
    log: structlog.stdlib.BoundLogger
    stopping: asyncio.Event
    failed: str | None = None
    _watches: list[asyncio.Task[None]] = field(default_factory=list)
    _servers: list[tuple[Server, asyncio.Task[None]]] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        """End the role with exit code 1: something that only a restart can mend."""
        self.failed = self.failed or reason
        self.stopping.set()
        _exit_after(STOP_DEADLINE_S)

    async def serve(self, routes: Sequence[BaseRoute] = ()) -> None:
        """Serve the routes and the health endpoints on the role's port until the role ends."""
        tls = tls_of(self.settings)
        web = self._application(routes, is_tls=tls is not None)
        bounds = Bounds(self.settings.body_timeout_s, self._places(), web.security, web.around)
        config = uvicorn.Config(
            web,
            host=self.settings.host,
            port=self.settings.listen_port or self.settings.role_port(self.role),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            # Anybody on this machine could else say in a header where he comes from.
            proxy_headers=bool(self.settings.proxies),
            forwarded_allow_ips=self.settings.proxies,
            http=protocol_of(bounds),
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
            ws="none",
            ssl_context_factory=(lambda *_: tls.context) if tls else None,
        )
        if tls is not None:
            self._watches.append(asyncio.create_task(tls.watch(self.log)))
        server = Server(config)
        listener = listen(config.host, config.port)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        self._servers.append((server, task))

    async def stop_serving(self) -> None:
        """Stop accepting, let running requests end, then return."""
        for server, task in self._servers:
            server.leave()
            await task
        self._servers.clear()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches.clear()

    def _places(self) -> Places:
        """Return the places of connections, within what the system lets this process open."""
        wanted, n_files = self.settings.max_connections, allow_files()
        most, room = places_for(wanted, n_files)
        if most < wanted:
            self.log.warning(
                "fewer connections than OBSERVAI_MAX_CONNECTIONS: raise the limit of open files",
                max_connections=wanted,
                taken=most,
                open_files=n_files,
            )
        return Places(most, room, self.log, self.metrics.connections_refused)

    def _application(self, routes: Sequence[BaseRoute], *, is_tls: bool) -> Web:
        """Return the role's application, with what every answer has."""
        every = [*routes, *self._health_routes()]
        every.append(document_route(self.role, every))
        log = self.log if self.settings.access_log else None
        app = Starlette(routes=every, exception_handlers=unrouted(every))
        return Web(app, every, self.settings.origins, is_tls=is_tls, log=log)

    def _health_routes(self) -> list[BaseRoute]:
        async def livez(_: Request) -> Response:
            return PlainTextResponse("ok\n")

        async def readyz(_: Request) -> Response:
            reasons = self.health.reasons()
            status = "not ready" if reasons else "ready"
            body = Readiness(status, self.role, self.health.may_recover(), reasons)
            return JSONResponse(msgspec.structs.asdict(body), status_code=503 if reasons else 200)

        async def metrics(_: Request) -> Response:
            exposition = generate_latest(self.metrics.registry)
            return Response(exposition, media_type=CONTENT_TYPE_LATEST)

        return [
            Documented("/livez", livez, ["GET"], _LIVE),
            Documented("/readyz", readyz, ["GET"], _READY),
            Documented("/metrics", metrics, ["GET"], _METRICS),
        ]


def run_role(role: str, settings: Settings, main: Callable[[Context], Awaitable[None]]) -> int:
    """Run a role until a signal, the end of its parent or a failure; return the exit code."""
    give_back_large_arrays()
    allow_files()
    name = settings.process_name(role)
    log = configure_logs(name, settings.data_dir / "logs", settings.log_level)
    _leave_with_parent()
    return uvloop.run(_run(role, settings, main, log))


async def _run(
    role: str,
    settings: Settings,
    main: Callable[[Context], Awaitable[None]],
    log: structlog.stdlib.BoundLogger,
) -> int:
    context = Context(role, settings, Metrics(), Health(), log, asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _begin_stop, context)
    port = settings.listen_port or settings.role_port(role)
    log.info("starting", port=port, slot=settings.slot, pid=os.getpid())
    # What is imported stays; and batches make few objects, so the collector may look seldom.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        await main(context)
    except Exception as error:
        log.exception("failed", error=f"{type(error).__name__}: {error}")
        return 1
    finally:
        await context.stop_serving()
    if context.failed:
        log.error("failed", error=context.failed)
        return 1
    log.info("stopped")
    return 0


def _begin_stop(context: Context) -> None:
    context.log.info("stopping")
    context.health.set("stop", "stopping")
    context.stopping.set()
    _exit_after(STOP_DEADLINE_S)


def _exit_after(seconds: float) -> None:
    """Leave in any case: kill -9 is safe at every point, a hang is not."""

    def leave() -> None:
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _leave_with_parent() -> None:
    """Send this process SIGTERM when the supervisor that started it is gone."""
    named = os.environ.get(PARENT_ENV)
    if named is None:
        return

    def watch() -> None:
        while os.getppid() == int(named):
            time.sleep(_PARENT_CHECK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()

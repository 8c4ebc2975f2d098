"""The HTTP server of a role: connections that are bounded in number, in time and in headers."""

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from topology.places import Places
from topology.web import REQUEST_ID

KEEP_ALIVE_S = 75
HEAD_S = 15.0
MAX_HEAD_BYTES, MAX_HEADERS = 64 << 10, 100
# Answered whatever is going on: who asks for them decides whether this process goes on.
_ALWAYS = {b"/livez", b"/readyz", b"/metrics"}
_RETRY_AFTER_S = "2"
# So long the body of a refused request is read and dropped: who is still sending when the
# connection closes sees it reset, and no answer.
LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections of a process may take, and what answers of the protocol itself have.

    places: those of this server's connections. headers: those of every answer. around: puts around
    an application what the role's own has.
    """

    body_timeout_s: float
    places: Places
    headers: Mapping[str, str]
    around: Callable[[ASGIApp], ASGIApp]


class LimitedProtocol(HttpToolsProtocol):
    """One connection. Who is slow, or sends a head without end, is answered once and cut off.

    A head has HEAD_S and MAX_HEAD_BYTES, and HEAD_S the first byte of a connection; a body has
    body_timeout_s as a whole, so that a byte now and then keeps no place; between requests there
    are KEEP_ALIVE_S. Requests on connections without a place get 503.
    """

    bounds: Bounds

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._application = self.app
        self._is_in_head = False
        self._n_head_bytes = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._within(HEAD_S, 0, "")
        self.bounds.places.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_wait()
        self.bounds.places.leave(self)
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close at once."""
        self._is_refused = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came, and look how long the head has grown."""
        if self._is_refused:
            return
        if self._is_in_head:
            self._n_head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._n_head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"headers over {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head, self._n_head_bytes = True, 0
        self._within(HEAD_S, 408, f"the headers did not arrive within {HEAD_S:.0f} s")

    def on_headers_complete(self) -> None:
        """Begin the body, unless there are too many headers."""
        self._is_in_head = False
        n_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > MAX_HEADERS or n_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"over {MAX_HEADERS} headers, or over {MAX_HEAD_BYTES} bytes of them")
            return
        seconds = self.bounds.body_timeout_s
        self._within(
            seconds, 408, f"the body did not arrive within {seconds:.0f} s (body_timeout_s)"
        )
        self.app = self._application
        if self.url not in _ALWAYS and not self.bounds.places.has_place(self):
            self.app = self.bounds.around(_no_place(self.bounds.places))
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        del msg
        self._refuse(400, "this is no HTTP/1.1 request")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request that has arrived."""
        self._end_wait()
        if not self._is_refused:
            super().on_message_complete()

    def _within(self, seconds: float, status: int, message: str) -> None:
        self._end_wait()
        self._deadline = self.loop.call_later(seconds, self._refuse, status, message)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, message: str) -> None:
        """Answer, if nothing was answered on this connection yet, and close it."""
        self._end_wait()
        self._is_refused = True
        if self.transport.is_closing():
            return
        is_free = self.cycle is None or self.cycle.response_complete
        if status and (is_free or not self.cycle.response_started):
            body = json.dumps({"error": message}).encode()
            headers = {
                **self.bounds.headers,
                REQUEST_ID: secrets.token_hex(8),
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            lines = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()


def _no_place(places: Places) -> ASGIApp:
    """Return what answers a request on a connection without a place."""
    message = (
        f"{len(places)} connections, where this process takes {places.most} "
        "(OBSERVAI_MAX_CONNECTIONS): keep fewer open, or raise it"
    )
    headers = {"Retry-After": _RETRY_AFTER_S, "Connection": "close"}
    answer = JSONResponse({"error": message}, 503, headers)

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        await answer(scope, receive, send)

    return refuse


class Server(uvicorn.Server):
    """A server that leaves signals to the role, and wakes up once a second, not ten times."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Let the running requests end, then stop."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Renew the Date header until told to leave."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), 1.0)

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave the signals alone."""
        yield


def protocol_of(bounds: Bounds) -> type[LimitedProtocol]:
    """Return the protocol with these bounds."""
    return type("_Protocol", (LimitedProtocol,), {"bounds": bounds})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError that names the address and the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; free it or choose another base port"
        ) from None

"""The HTTP server of a role: connections that are bounded in number, in time and in headers."""

import asyncio
import contextlib
import resource
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

KEEP_ALIVE_S = 75
HEAD_S = 15.0
MAX_HEAD_BYTES, MAX_HEADERS = 64 << 10, 100
# Answered whatever is going on: who asks for them decides whether this process goes on.
_ALWAYS = {b"/livez", b"/readyz", b"/metrics"}
_FILES_WANTED = 65_536


class LimitedProtocol(HttpToolsProtocol):
    """One connection. Who is slow, or sends a head without end, is answered once and cut off.

    A head has HEAD_S and MAX_HEAD_BYTES; a body has body_timeout_s as a whole, so that a byte now
    and then keeps no place; a connection without a request has KEEP_ALIVE_S.
    """

    body_timeout_s = 60.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._most_connections = self.limit_concurrency
        self._is_in_head = False
        self._n_head_bytes = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._within(KEEP_ALIVE_S, 0, "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_wait()
        super().connection_lost(exc)

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
        seconds = self.body_timeout_s
        self._within(
            seconds, 408, f"the body did not arrive within {seconds:.0f} s (body_timeout_s)"
        )
        is_always = self.url in _ALWAYS
        self.limit_concurrency = None if is_always else self._most_connections
        super().on_headers_complete()

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
            body = message.encode() + b"\n"
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            length = b"content-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + length + body)
        self.transport.close()


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


def protocol_of(body_timeout_s: float) -> type[LimitedProtocol]:
    """Return the protocol with a deadline for bodies."""
    return type("_Protocol", (LimitedProtocol,), {"body_timeout_s": body_timeout_s})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError that names the address and the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; free it or choose another base port"
        ) from None


def allow_connections() -> None:
    """Raise the number of files that this process may have open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

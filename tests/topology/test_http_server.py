"""The HTTP server against senders that are slow, endless or many, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ops.ports import free_base_port
from tests.topology.running import make_context
from topology import http_server, places
from topology.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, port=free_base_port())


async def echo(request: Request) -> Response:
    try:
        return PlainTextResponse(str(len(await request.body())))
    except ClientDisconnect:
        return Response(status_code=499)


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[None]:
    context = make_context("edge", settings)
    context.health.set("start", None)
    await context.serve([Route("/echo", echo, methods=["POST"])])
    try:
        yield
    finally:
        await context.stop_serving()


async def talk(settings: Settings, *pieces: bytes) -> bytes:
    """Send pieces over one connection; return all that comes until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_slow_heads_and_bodies_are_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever trickles in meanwhile: the time is that of the whole."""
    monkeypatch.setattr(http_server, "HEAD_S", 0.05)
    async with served(settings.model_copy(update={"body_timeout_s": 0.05})):
        head = await talk(settings, b"POST /echo HTTP/1.1\r\n", b"Host: x\r\n")
        body = await talk(settings, POST + b"Content-Length: 9\r\n\r\n", b"1", b"2")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"the headers did not arrive within" in head
    assert body.startswith(b"HTTP/1.1 408 ")
    assert b"(body_timeout_s)" in body


@pytest.mark.parametrize(
    "headers",
    [b"a: b\r\n" * 101, b"a: " + b"x" * (70 << 10), b"a: " + b"x" * (600 << 10)],
    ids=["many", "long", "endless"],
)
async def test_heads_are_bounded(settings: Settings, headers: bytes) -> None:
    """Who goes on sending may see the connection reset before he reads the answer."""
    async with served(settings):
        answer = await talk(settings, POST + headers + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 431 ") or (answer == b"reset" and len(headers) > 100_000)


async def test_a_long_address_is_bounded_and_rubbish_is_answered(settings: Settings) -> None:
    async with served(settings):
        address = await talk(settings, b"GET /" + b"a" * (70 << 10) + b" HTTP/1.1\r\n\r\n")
        rubbish = await talk(settings, b"\x16\x03\x01 no HTTP\r\n\r\n")

        tunnel = await talk(settings, b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n")

    assert address.startswith(b"HTTP/1.1 431 ")
    for answer in (rubbish, tunnel):
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
            "error": "this is no HTTP/1.1 request"
        }
    for answer in (address, rubbish):
        head = answer.partition(b"\r\n\r\n")[0].lower()
        for name in (b"x-content-type-options: nosniff", b"x-request-id: ", b"cache-control: "):
            assert name in head


async def test_pipelined_requests_are_answered_in_their_order(settings: Settings) -> None:
    requests = [POST + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in (5, 0, 70_000, 1)]
    async with served(settings):
        answer = await talk(settings, b"".join(requests) + LAST)

    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"5", b"0", b"70000", b"1", b"ok\n"]


LARGE = 5 << 20


async def test_connections_above_the_limit_get_503_and_health_is_answered(
    settings: Settings,
) -> None:
    async with (
        served(settings.model_copy(update={"max_connections": 10})),
        AsyncExitStack() as all_,
    ):
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", settings.port)
            all_.callback(writer.close)
        head = POST + b"X-Request-Id: abc\r\nContent-Length: %d\r\n\r\n" % LARGE
        refused = await talk(settings, head, bytes(LARGE))
        health = await talk(settings, LAST)

    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    for name in (b"retry-after: 2", b"x-request-id: abc", b"x-frame-options: deny"):
        assert name in head.lower()
    assert json.loads(body)["error"].startswith(
        "11 connections, where this process takes 10 (OBSERVAI_MAX_CONNECTIONS): "
    )
    assert health.startswith(b"HTTP/1.1 200 ")


async def test_idle_connections_are_bounded_and_health_is_answered_among_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten have a place, the newest 20 of the others stay open; nobody has sent anything."""
    monkeypatch.setattr(places, "ROOM", 20)
    async with (
        served(settings.model_copy(update={"max_connections": 10})),
        AsyncExitStack() as all_,
    ):
        readers = []
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
            all_.callback(writer.close)
            readers.append(reader)
        metrics = await talk(settings, LAST.replace(b"/livez", b"/metrics"))
        # The one that asked has taken the place of one more, and is gone.
        cut = await asyncio.wait_for(asyncio.gather(*map(is_cut, readers[10:81])), 20)

        assert all(cut)
        assert not any(reader.at_eof() for reader in [*readers[:10], *readers[81:]])
    assert metrics.startswith(b"HTTP/1.1 200 ")
    assert b'observai_connections_refused_total{how="cut"} 71.0' in metrics


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_connection_that_asks_nothing_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.05)
    async with served(settings):
        assert await talk(settings) == b""

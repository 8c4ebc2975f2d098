"""What every HTTP answer has: a request id, security headers, CORS by a list, a log line."""

import copy
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.config import KEY_PREFIX

REQUEST_ID = "X-Request-Id"
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"
_ALLOWED_HEADERS = "Authorization, Content-Type, Content-Encoding, X-Request-Id"
_EXPOSED_HEADERS = "Retry-After, X-Request-Id"
_PREFLIGHT_AGE_S = "600"
_SERVER_ERROR = 500
# Asked for every second, by machines.
_NOT_LOGGED = frozenset({"/livez", "/readyz", "/metrics"})
# What begins as a key does, wherever a sender has put it.
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]+")

_ExceptionHandler = Callable[[Request, Exception], Response]


class Web:
    """An application around that of a role.

    origins: those that browsers may call from, as they send them, or "*" for all; no cookies are
    used, so a page gets no more than the key that it has. is_tls: whether browsers are told to
    come by TLS only. log: of each request but those for health, without its query and headers,
    which may hold a key; a key in the path is masked.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        origins: Iterable[str],
        *,
        is_tls: bool,
        log: structlog.stdlib.BoundLogger | None,
    ) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._origins = frozenset(origins)
        self.security = _SECURITY | ({"Strict-Transport-Security": _HSTS} if is_tls else {})
        self._log = log

    def around(self, app: ASGIApp) -> "Web":
        """Return the same around another application."""
        other = copy.copy(self)
        other._app = app  # noqa: SLF001 - its own class
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)
        more = self.security | {REQUEST_ID: request_id} | self._cors(headers.get("origin"))
        started_s, status = time.perf_counter(), 0

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                for name, value in more.items():
                    answered.setdefault(name, value)
            await send(message)

        app = self._options(scope, headers) if scope["method"] == "OPTIONS" else self._app
        await app(scope, receive, send_more)
        if self._log is not None and scope["path"] not in _NOT_LOGGED:
            self._say(scope, request_id, status, time.perf_counter() - started_s)

    def _cors(self, origin: str | None) -> dict[str, str]:
        if origin is None or not self._origins:
            return {}
        if "*" in self._origins:
            return {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
            }
        if origin not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
            "Vary": "Origin",
        }

    def _options(self, scope: Scope, headers: Headers) -> ASGIApp:
        """Return the answer to OPTIONS: which methods a path has; no key is needed for that."""
        methods = methods_of(self._routes, scope["path"])
        if not methods:
            return _no_such_path()
        allow = ", ".join(sorted(methods | {"OPTIONS"}))
        answer = {"Allow": allow}
        if "access-control-request-method" in headers and self._cors(headers.get("origin")).get(
            "Access-Control-Allow-Origin"
        ):
            answer |= {
                "Access-Control-Allow-Methods": allow,
                "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_AGE_S,
            }
        return Response(status_code=204, headers=answer)

    def _say(self, scope: Scope, request_id: str, status: int, elapsed_s: float) -> None:
        assert self._log is not None
        client = scope.get("client")
        say: Callable[..., Any] = self._log.warning if status >= _SERVER_ERROR else self._log.info
        say(
            "request",
            method=scope["method"],
            path=_KEY.sub(f"{KEY_PREFIX}...", scope["path"]),
            status=status,
            ms=round(elapsed_s * 1000, 1),
            client=client[0] if client else "",
            request_id=request_id,
        )


def unrouted(routes: Iterable[BaseRoute]) -> Mapping[Any, _ExceptionHandler]:
    """Return what Starlette is to answer where no route does: words as JSON, as routes have them.

    For 404, 405 and 500; a failure is still raised to the server, which logs it.
    """
    known = [route for route in routes if isinstance(route, Route)]

    def no_path(_: Request, __: Exception) -> Response:
        return _no_such_path()

    def no_method(request: Request, _: Exception) -> Response:
        allow = ", ".join(sorted(methods_of(known, request.url.path) | {"OPTIONS"}))
        text = f"{request.method} is not for this path; it takes {allow}"
        return JSONResponse({"error": text}, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allow})

    def failed(_: Request, __: Exception) -> Response:
        return JSONResponse({"error": "internal error: see the log"}, _SERVER_ERROR)

    return {
        HTTPStatus.NOT_FOUND: no_path,
        HTTPStatus.METHOD_NOT_ALLOWED: no_method,
        Exception: failed,
    }


def _no_such_path() -> Response:
    text = "no such path; /openapi.json lists all of this role"
    return JSONResponse({"error": text}, HTTPStatus.NOT_FOUND)


def methods_of(routes: Iterable[Route], path: str) -> set[str]:
    """Return the methods that a path takes, over all routes of it."""
    found: set[str] = set()
    for route in routes:
        if route.path_regex.match(path):
            found |= route.methods or set()
    return found

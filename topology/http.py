"""What the HTTP APIs share: keys and scopes, refusals, and the form of an error's answer."""

import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.config import Key
from topology.clock import now_ms
from topology.keys import Access, KeyRing, key_of_request
from topology.metrics import Metrics
from topology.openapi import Documented, Spec
from topology.tenants import DEFAULT_TENANT, Tenant

_RETRY_AFTER_S = "2"
_CLIENT_GONE = 499


class Refused(Exception):
    """The request is answered with a status, words for the sender, and a code where one helps.

    retry_after_s: when it may come again; 503 has one of its own.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


def authorize(
    ring: KeyRing, request: Request, scope: str | None, key_text: str | None = None
) -> Access:
    """Return what the request's key may do.

    scope: what the key must allow, None for any key. key_text: the key, where a protocol has a
    place of its own for it; None: that of the Authorization header. Raises Refused.
    """
    key_text = key_text or key_of_request(request.headers)
    if key_text is None:
        raise _unauthorized(
            ring,
            request,
            "no key",
            "no API key: send 'Authorization: Bearer KEY' (or Basic with the key as password)",
        )
    if not ring.is_loaded:
        # Not 401: senders drop what they are refused, and this passes by itself.
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "starting: the keys are not read yet")
    if ring.problem is not None:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, ring.problem)
    at_ms = now_ms()
    access = ring.lookup(key_text, at_ms)
    if access is None:
        reason = _why_not(ring.find(key_text), at_ms)
        raise _unauthorized(ring, request, reason, reason)
    ring.on_use(access.key, at_ms)
    if scope is not None and scope not in access.scopes:
        raise Refused(HTTPStatus.FORBIDDEN, f"this API key lacks the scope {scope!r}")
    return access


def _why_not(key: Key | None, at_ms: int) -> str:
    if key is None:
        return "unknown API key"
    if key.is_live(at_ms):
        return "the API key's tenant was removed"
    return "revoked API key" if key.revoked_ms else "expired API key"


def _unauthorized(ring: KeyRing, request: Request, reason: str, message: str) -> Refused:
    ring.on_refusal(address_of(request), reason)
    return Refused(HTTPStatus.UNAUTHORIZED, message)


def address_of(request: Request) -> str:
    """Return where a request comes from, "" where that is not known."""
    return request.client.host if request.client else ""


def administered(ring: KeyRing, request: Request, named: str | None) -> Tenant:
    """Return the tenant that an administrator's request is about: the key's own, or the one named.

    A key of tenant `default` is the operator's, and may name any tenant; another key may name its
    own only. Raises Refused.
    """
    return named_tenant(ring, authorize(ring, request, "admin"), named)


def named_tenant(ring: KeyRing, access: Access, named: str | None) -> Tenant:
    """Return the tenant that an administrator names, None: his own. Raises Refused."""
    own = access.tenant
    if named in {None, own.name}:
        return own
    if own.name != DEFAULT_TENANT:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"a key of tenant {own.name!r} says nothing of tenant {named!r}: leave the tenant out, "
            f"or use an admin key of tenant {DEFAULT_TENANT!r}",
        )
    tenant = ring.tenant(named or "")
    if tenant is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {named!r}")
    return tenant


def authorize_operator(ring: KeyRing, request: Request) -> Access:
    """Return the access of an operator: an admin key of tenant `default`. Raises Refused."""
    access = authorize(ring, request, "admin")
    named_tenant(ring, access, DEFAULT_TENANT)
    return access


def named_past_tenant(ring: KeyRing, access: Access, named: str | None) -> str | None:
    """Return whose past an administrator asks for, None for everybody's.

    As named_tenant, but an operator who names none means all, and a removed one has a past, too.
    """
    if access.tenant.name != DEFAULT_TENANT:
        return named_tenant(ring, access, named).name
    if named is not None and ring.record(named) is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {named!r}")
    return named


def measured_route(  # noqa: PLR0913, PLR0917 - what a route is made of
    path: str,
    methods: Sequence[str],
    handle: Callable[[Request], Awaitable[Response]],
    metrics: Metrics,
    refuse: Callable[[Request, Refused], Response] = lambda _, refused: answer_refused(refused),
    spec: Spec | None = None,
) -> Route:
    """Return a route whose handler may raise Refused, and whose requests are measured.

    refuse: makes the answer to what was refused. spec: what the OpenAPI document says of it.
    """

    async def endpoint(request: Request) -> Response:
        started_s = time.perf_counter()
        try:
            response = await handle(request)
        except Refused as refused:
            response = refuse(request, refused)
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_GONE)
        elapsed_s = time.perf_counter() - started_s
        metrics.http_request.labels(path, str(response.status_code)).observe(elapsed_s)
        return response

    return Documented(path, endpoint, methods, spec or Spec())


def refused_headers(refused: Refused) -> dict[str, str]:
    """Return the headers that go with a refusal in any protocol."""
    headers = {}
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(refused.retry_after_s)
    elif refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_S
    return headers


def answer_refused(refused: Refused) -> Response:
    """Return a refusal as JSON."""
    body = {"error": str(refused)} | ({"code": refused.code} if refused.code else {})
    return JSONResponse(body, status_code=refused.status, headers=refused_headers(refused))

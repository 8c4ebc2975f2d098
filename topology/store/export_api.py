"""`/api/v1/admin/stored/...`: stored rows of any tenant as Arrow, for an operator's key."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.topics import ALL_SERIES
from topology.http import Refused, administered, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.store.export import STATEMENTS, Piece
from topology.store.queries import FORMATS, Queries, QueryFailed
from topology.tenants import DEFAULT_TENANT

PATH = "/api/v1/admin/stored/{what}"
TENANTS = "tenants"
_DEFAULTS = {"first_id": ALL_SERIES[0], "last_id": ALL_SERIES[1], "width_s": 0}


class ExportApi:
    """The route. Tenants' names are JSON, all else is an Arrow stream of one piece."""

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [measured_route(PATH, ["GET", "POST"], self._answer, self._metrics)]

    async def _answer(self, request: Request) -> Response:
        what = request.path_params["what"]
        if what == TENANTS:
            administered(self._ring, request, DEFAULT_TENANT)
            return JSONResponse(self._ring.tenants())
        tenant = administered(self._ring, request, request.query_params.get("tenant")).name
        if what not in STATEMENTS:
            raise Refused(
                HTTPStatus.NOT_FOUND, f"{what!r}: one of {TENANTS}, {', '.join(STATEMENTS)}"
            )
        piece = _piece_of(request, tenant)
        try:
            body = await self._queries.run(
                piece.tenant, STATEMENTS[what], "arrow", piece.parameters()
            )
        except QueryFailed as failed:
            raise Refused(failed.status, str(failed), failed.code) from None
        return Response(body, media_type=FORMATS["arrow"].media_type)


def _piece_of(request: Request, tenant: str) -> Piece:
    """Return what the parameters ask for. Raises Refused."""
    given = request.query_params
    numbers = {}
    for name in ("from_ms", "to_ms", *_DEFAULTS):
        text = given.get(name, str(_DEFAULTS.get(name, "")))
        if not text.isdecimal() or int(text) > ALL_SERIES[1]:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name}={text!r}: a number from 0 on is needed")
        numbers[name] = int(text)
    return Piece(tenant, **numbers)

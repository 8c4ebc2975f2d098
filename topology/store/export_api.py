"""`/api/v1/admin/stored/...`: stored rows of any tenant as Arrow, for an operator's key."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.topics import ALL_SERIES
from topology.http import Refused, administered, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Parameter, Spec, choice, number
from topology.query_values import whole
from topology.store.export import STATEMENTS, Piece
from topology.store.queries import FORMATS, Queries, QueryFailed
from topology.tenants import DEFAULT_TENANT

PATH = "/api/v1/admin/stored/{what}"
TENANTS_PATH = "/api/v1/admin/stored/tenants"
_FROM = number("from_ms", "since when, in ms since 1970", is_required=True)
_TO = number("to_ms", "until when", is_required=True)
_FIRST = number("first_id", "of series, the least", most=ALL_SERIES[1])
_LAST = number("last_id", "of series, the largest", most=ALL_SERIES[1])
_WIDTH = number("width_s", "of windows", most=(1 << 32) - 1)


_SPEC = Spec(
    "gives stored rows of a tenant, for operators",
    path=(choice("what", "which rows", STATEMENTS),),
    query=(Parameter("tenant", "whose; by default the key's"), _FROM, _TO, _FIRST, _LAST, _WIDTH),
    produces=(FORMATS["arrow"].media_type,),
)


_TENANTS = Spec("names all tenants, for operators", answer=list[str])


class ExportApi:
    """The routes. Tenants' names are JSON, all else is an Arrow stream of one piece."""

    def __init__(self, ring: KeyRing, queries: Queries, metrics: Metrics) -> None:
        self._ring = ring
        self._queries = queries
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        methods = ["GET", "POST"]
        return [
            measured_route(TENANTS_PATH, methods, self._tenants, self._metrics, spec=_TENANTS),
            measured_route(PATH, methods, self._answer, self._metrics, spec=_SPEC),
        ]

    async def _tenants(self, request: Request) -> Response:
        administered(self._ring, request, DEFAULT_TENANT)
        return JSONResponse(self._ring.tenants())

    async def _answer(self, request: Request) -> Response:
        what = request.path_params["what"]
        tenant = administered(self._ring, request, request.query_params.get("tenant")).name
        if what not in STATEMENTS:
            raise Refused(HTTPStatus.NOT_FOUND, f"{what!r}: one of {', '.join(STATEMENTS)}")
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
    return Piece(
        tenant,
        from_ms=whole(request, _FROM),
        to_ms=whole(request, _TO),
        first_id=whole(request, _FIRST, ALL_SERIES[0]),
        last_id=whole(request, _LAST, ALL_SERIES[1]),
        width_s=whole(request, _WIDTH, 0),
    )

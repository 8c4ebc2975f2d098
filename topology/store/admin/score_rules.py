"""What of a tenant is scored, and what counts: its rules, and all that hold for it.

`/api/v1/admin/tenants/NAME/score-rules` are a tenant's own, `/api/v1/score-rules` those and the
operator's after them, as the workers follow them for the tenant of the key. The operator's file as
a whole is `/api/v1/admin/score-rules`, for his keys.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.scoring.rules import SeriesRules, parse_rules_of_tenant, plain
from schemas.config import ConfigRecord, ScoreRulesRecord, encode_entry
from topology.http import Refused, administered, authorize, authorize_operator, measured_route
from topology.keys import KeyRing
from topology.metrics import Metrics
from topology.openapi import Spec
from topology.store.admin.changes import Action, Changes, json_response, read_body
from topology.store.admin.tenants import PATH as TENANTS_PATH

PATH = TENANTS_PATH + "/{name}/score-rules"
ALL_PATH = "/api/v1/score-rules"
FILE_PATH = "/api/v1/admin/score-rules"
_MOST_RULES = 100


class NewRules(msgspec.Struct, forbid_unknown_fields=True):
    """Asks for these rules in place of all that a tenant has; by the keys of the rules' file."""

    rule: list[dict[str, Any]]


class RulesShown(msgspec.Struct):
    """A tenant's own rules."""

    rule: list[dict[str, Any]]


class AllRules(msgspec.Struct):
    """All rules that hold for a tenant, in the order of matching, and the widths scored, in s."""

    tenant: str
    rule: list[dict[str, Any]]
    widths: list[int]


class FileRules(msgspec.Struct):
    """The operator's rules, and of tenants or `default` the widths scored, in s: as in his file."""

    rule: list[dict[str, Any]]
    widths: dict[str, list[int]]


_SHOW = Spec("shows a tenant's rules of scores", answer=RulesShown)
_REPLACE = Spec("puts others in place of a tenant's rules", NewRules, answer=RulesShown)
_SHOW_ALL = Spec("shows all rules of scores that hold for the key's tenant", answer=AllRules)
_SHOW_FILE = Spec("shows the operator's rules of scores", answer=FileRules)


class ScoreRulesApi:
    """The routes; an administrator of a tenant changes its rules only. of_file: the operator's."""

    def __init__(
        self, ring: KeyRing, changes: Changes, of_file: SeriesRules, metrics: Metrics
    ) -> None:
        self._ring = ring
        self._of_file = of_file
        self._changes = changes
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the routes for Context.serve."""
        return [
            measured_route(PATH, ["GET"], self._show, self._metrics, spec=_SHOW),
            measured_route(PATH, ["PUT"], self._replace, self._metrics, spec=_REPLACE),
            measured_route(ALL_PATH, ["GET"], self._show_all, self._metrics, spec=_SHOW_ALL),
            measured_route(FILE_PATH, ["GET"], self._show_file, self._metrics, spec=_SHOW_FILE),
        ]

    async def _show(self, request: Request) -> Response:
        tenant = administered(self._ring, request, request.path_params["name"])
        return self._shown(tenant.name)

    async def _show_all(self, request: Request) -> Response:
        name = authorize(self._ring, request, "read").tenant.name
        of_operator = [
            plain(msgspec.structs.replace(spec, tenant=None))
            for spec in self._of_file.specs_of(name)
        ]
        rules = [*self._ring.score_rules.of(name).rules, *of_operator]
        return json_response(AllRules(name, rules, self._of_file.widths_of(name)))

    async def _show_file(self, request: Request) -> Response:
        authorize_operator(self._ring, request)
        return json_response(FileRules(**self._of_file.document()))

    async def _replace(self, request: Request) -> Response:
        tenant = administered(self._ring, request, request.path_params["name"])
        asked = await read_body(request, NewRules)
        if len(asked.rule) > _MOST_RULES:
            raise _wrong(f"{len(asked.rule)} rules: a tenant may have {_MOST_RULES}")
        try:
            parse_rules_of_tenant(asked.rule)
        except ValueError as error:
            raise _wrong(str(error)) from None

        def plan(ring: KeyRing) -> Sequence[ConfigRecord]:
            if ring.tenant(tenant.name) is None:
                raise Refused(HTTPStatus.NOT_FOUND, f"no tenant {tenant.name!r}")
            key, value = encode_entry(ScoreRulesRecord(tenant.name, asked.rule))
            return [(key, value if asked.rule else None)]

        access = authorize(self._ring, request, "admin")
        details = f"{len(asked.rule)} rules"
        action = Action("score-rules.set", tenant.name, tenant.name, details)
        await self._changes.make(request, access, action, plan)
        return self._shown(tenant.name)

    def _shown(self, name: str) -> Response:
        return json_response(RulesShown(self._ring.score_rules.of(name).rules))


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)

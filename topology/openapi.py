"""The OpenAPI 3.1 document of a role, made of its routes and of the models that they read."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

PATH = "/openapi.json"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
# Whatever is asked for may be answered with these.
_REFUSALS = (400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503)
# Those that the server words, and not the route.
_SERVERS = frozenset({405, 500})
_REF = "#/components/schemas/{name}"
_JSON = "application/json"


class Error(msgspec.Struct):
    """What was wrong, and a code where one helps."""

    error: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of a query or a path. words: what it means. schema: in JSON Schema, by default any text."""

    name: str
    words: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    is_required: bool = False


def number(
    name: str, words: str, least: int = 0, most: int = (1 << 63) - 1, *, is_required: bool = False
) -> Parameter:
    """Return a parameter that is a whole number."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name, words, schema, is_required)


def choice(name: str, words: str, values: Iterable[str]) -> Parameter:
    """Return a parameter that is one of these texts."""
    return Parameter(name, words, {"type": "string", "enum": list(values)})


@dataclass(frozen=True, slots=True)
class Spec:
    """What a route's handler does not say by itself.

    summary: for people. body: the model of a JSON body. media_types: of bodies that no model tells
    of. query, path: parameters; those of the path are texts where nothing is said. answers:
    statuses of success. answer: the type that is answered as JSON. produces: media types of other
    answers. refusals: types of a refusal's JSON; refusal_types: media types of refusals.
    more_refusals: statuses of them that other routes do not have.
    """

    summary: str = ""
    body: type[msgspec.Struct] | None = None
    media_types: Sequence[str] = ()
    query: tuple[Parameter, ...] = ()
    path: tuple[Parameter, ...] = ()
    answers: tuple[int, ...] = (200,)
    answer: Any = None
    produces: tuple[str, ...] = ()
    refusals: tuple[Any, ...] = (Error,)
    refusal_types: tuple[str, ...] = (_JSON,)
    more_refusals: tuple[int, ...] = ()
    needs_key: bool = True


class Documented(Route):
    """A route with its spec."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        methods: Sequence[str],
        spec: Spec,
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.spec = spec


def document_route(role: str, routes: Sequence[BaseRoute]) -> Documented:
    """Return the route that serves the document of these routes, and of itself."""
    document: dict[str, Any] = {}

    async def show(_: Request) -> Response:
        return JSONResponse(document)

    spec = Spec("this document", answer=dict[str, Any], needs_key=False)
    route = Documented(PATH, show, ["GET"], spec)
    known = [one for one in (*routes, route) if isinstance(one, Documented)]
    document |= make_document(role, version("observai-hub"), known)
    return route


def make_document(role: str, build: str, routes: Sequence[Documented]) -> dict[str, Any]:
    """Return the document of the routes, each with what is known of it."""
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, method, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"ObservAI Hub, {role}", "version": build},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """Schemas of all types that the routes name."""

    def __init__(self, routes: Sequence[Documented]) -> None:
        named = [(one.spec.body, one.spec.answer, *one.spec.refusals) for one in routes]
        every = (Error, *(one for of_spec in named for one in of_spec))
        types = list(dict.fromkeys(one for one in every if one is not None))
        found, self.components = msgspec.json.schema_components(types, ref_template=_REF)
        self._of = dict(zip(types, found, strict=True))

    def content(self, kinds: Sequence[Any], media_types: Iterable[str]) -> dict[str, Any]:
        """Return the content of an answer or body: of one of these types where it is JSON."""
        schemas = [self._of[kind] for kind in kinds if kind is not None]
        of_json = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        return {one: of_json if one == _JSON and schemas else {} for one in media_types}


def _operation(route: Documented, method: str, schemas: _Schemas) -> dict[str, Any]:
    spec = route.spec
    in_path = {one.name: one for one in spec.path}
    names = _PARAMETER.findall(route.path)
    parameters = [_parameter(in_path.get(name, Parameter(name)), "path") for name in names]
    parameters += [_parameter(one, "query") for one in spec.query]
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}{re.sub('[^A-Za-z0-9]+', '_', route.path)}",
        "summary": spec.summary,
        "parameters": parameters,
        "responses": _responses(spec, schemas),
    }
    if spec.needs_key:
        operation["security"] = [{"key": []}]
    if method not in {"GET", "DELETE"} and (spec.body is not None or spec.media_types):
        operation["requestBody"] = _body(spec, schemas)
    return operation


def _parameter(one: Parameter, place: str) -> dict[str, Any]:
    found = {"name": one.name, "in": place, "description": one.words, "schema": dict(one.schema)}
    return found | ({"required": True} if place == "path" or one.is_required else {})


def _body(spec: Spec, schemas: _Schemas) -> dict[str, Any]:
    if spec.body is None:
        # An empty one is a request of no samples, or says what the query says.
        return {"required": False, "content": {media_type: {} for media_type in spec.media_types}}
    fields = msgspec.structs.fields(spec.body)
    return {
        "required": any(one.required for one in fields),
        "content": schemas.content([spec.body], [_JSON]),
    }


def _responses(spec: Spec, schemas: _Schemas) -> dict[str, Any]:
    produced = (*([_JSON] if spec.answer is not None else []), *spec.produces)
    success = {"content": schemas.content([spec.answer], produced)} if produced else {}
    found: dict[str, Any] = {}
    for code in spec.answers:
        is_empty = HTTPStatus(code) in {HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED}
        found[str(code)] = {"description": _words(code)} | ({} if is_empty else success)
    for code in (*_REFUSALS, *spec.more_refusals):
        kinds, types = spec.refusals, spec.refusal_types
        if code in _SERVERS:
            kinds, types = _with(kinds, Error), _with(types, _JSON)
        content = schemas.content(kinds, types)
        found.setdefault(str(code), {"description": _words(code), "content": content})
    return found


def _with(values: tuple[Any, ...], one: Any) -> tuple[Any, ...]:
    return values if one in values else (*values, one)


def _words(code: int) -> str:
    return HTTPStatus(code).phrase

"""The OpenAPI 3.1 document of a role, made of its routes and of the models that they read."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
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
_ERROR_REF = "#/components/schemas/{name}"


class Error(msgspec.Struct):
    """What was wrong, and a code where one helps."""

    error: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """What a route's handler does not say by itself.

    summary: for people. body: the model of a JSON body. media_types: of bodies without a model.
    query: names of parameters with what they mean. answers: statuses of success.
    """

    summary: str = ""
    body: type[msgspec.Struct] | None = None
    media_types: Sequence[str] = ()
    query: tuple[tuple[str, str], ...] = ()
    answers: tuple[int, ...] = (200,)
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
    """Return the route that serves the document of these routes."""
    known = [one for one in routes if isinstance(one, Documented)]
    document = make_document(role, version("observai-hub"), known)

    async def show(_: Request) -> Response:
        return JSONResponse(document)

    return Documented(PATH, show, ["GET"], Spec("this document", needs_key=False))


def make_document(role: str, build: str, routes: Sequence[Documented]) -> dict[str, Any]:
    """Return the document of the routes, each with what is known of it."""
    models = [spec.body for spec in (one.spec for one in routes) if spec.body is not None]
    _, schemas = msgspec.json.schema_components([Error, *models], ref_template=_ERROR_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"ObservAI Hub, {role}", "version": build},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Documented, method: str) -> dict[str, Any]:
    spec = route.spec
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
        for name, words in spec.query
    ]
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}{re.sub('[^A-Za-z0-9]+', '_', route.path)}",
        "summary": spec.summary,
        "parameters": parameters,
        "responses": _responses(spec),
    }
    if spec.needs_key:
        operation["security"] = [{"key": []}]
    if method not in {"GET", "DELETE"} and (spec.body is not None or spec.media_types):
        operation["requestBody"] = _body(spec)
    return operation


def _body(spec: Spec) -> dict[str, Any]:
    if spec.body is not None:
        schema = {"$ref": _ERROR_REF.format(name=spec.body.__name__)}
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"required": True, "content": {media_type: {} for media_type in spec.media_types}}


def _responses(spec: Spec) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _ERROR_REF.format(name=Error.__name__)}}}
    found: dict[str, Any] = {str(code): {"description": _words(code)} for code in spec.answers}
    for code in _REFUSALS:
        found.setdefault(str(code), {"description": _words(code), "content": error})
    return found


def _words(code: int) -> str:
    return HTTPStatus(code).phrase

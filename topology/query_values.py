"""Values in the query of a request, held against what the OpenAPI document says of them."""

from http import HTTPStatus

from starlette.requests import Request

from topology.http import Refused
from topology.openapi import Parameter


def whole(request: Request, parameter: Parameter, default: int | None = None) -> int:
    """Return a parameter that is a whole number, by default this one. Raises Refused."""
    text = request.query_params.get(parameter.name, "" if default is None else str(default))
    least, most = parameter.schema["minimum"], parameter.schema["maximum"]
    if not text.isdecimal() or not least <= int(text) <= most:
        raise _wrong(f"{parameter.name}={text!r}: a number from {least} to {most}")
    return int(text)


def one_of(request: Request, parameter: Parameter, default: str) -> str:
    """Return a parameter that is one of some texts, by default this one. Raises Refused."""
    text = request.query_params.get(parameter.name, default)
    values = parameter.schema["enum"]
    if text not in values:
        raise _wrong(f"{parameter.name}={text!r}: one of {', '.join(values)}")
    return text


def _wrong(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, text)

"""Numbers in the query of a request."""

from http import HTTPStatus

from starlette.requests import Request

from topology.http import Refused


def number(request: Request, name: str, default: int, most: int) -> int:
    """Return a parameter as a number from 0 to most. Raises Refused."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) > most:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}={text!r}: a number from 0 to {most}")
    return int(text)

"""Whatever the protocol, a sender that is too fast, or has come too early, is told when to come."""

from http import HTTPStatus

import pytest
from starlette.requests import Request

from topology.edge.endpoint import Endpoint
from topology.edge.intake import Registry
from topology.edge.routes import make_endpoints
from topology.http import Refused
from topology.settings import Settings

ENDPOINTS = make_endpoints(Registry(Settings()))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.path)
def test_a_refusal_says_when_to_come_again(endpoint: Endpoint) -> None:
    request = Request({"type": "http", "method": "POST", "headers": [], "path": endpoint.path})
    own = Refused(HTTPStatus.TOO_MANY_REQUESTS, "too fast", "rate", retry_after_s=7)
    ours = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the broker is away")

    limited, away = endpoint.refuse(request, own), endpoint.refuse(request, ours)

    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")

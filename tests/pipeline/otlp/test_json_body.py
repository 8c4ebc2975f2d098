"""OTLP JSON, against the official protobuf runtime's own JSON."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedBody
from pipeline.otlp.json_body import to_protobuf
from tests.vectors import otlp as vector
from tests.vectors.otlp import T_NS, Request, request
from tests.vectors.otlp_requests import requests


def same(found: bytes, expected: bytes) -> bool:
    """Whether two bodies mean the same samples; what a decoder has no use for may be left out."""
    one, other = vector.read(found, with_scope=True), vector.read(expected, with_scope=True)
    return one == other


@given(requests, st.booleans(), st.booleans())
def test_means_what_the_official_runtime_makes_of_it(
    given_request: Request, with_underscores: bool, with_integers: bool
) -> None:
    body = json_format.MessageToJson(
        given_request,
        preserving_proto_field_name=with_underscores,
        use_integers_for_enums=with_integers,
    )

    # Not the request itself: JSON has one NaN, and the payload of another does not come along.
    meant = json_format.Parse(body, Request())
    assert same(to_protobuf(body.encode()), meant.SerializeToString())


def gauge(**point: Any) -> bytes:
    body = {
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {"metrics": [{"name": "a", "gauge": {"dataPoints": [point]}}]},
                ]
            }
        ]
    }
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("given_value", "meant"),
    [
        ({"asInt": "-7"}, {"as_int": -7}),
        ({"asInt": 7}, {"as_int": 7}),
        ({"asInt": 7.0}, {"as_int": 7}),
        ({"asDouble": 1}, {"as_double": 1.0}),
        ({"asDouble": "1.5e3"}, {"as_double": 1500.0}),
        ({"asDouble": "NaN"}, {"as_double": float("nan")}),
        ({"asDouble": "-Infinity"}, {"as_double": float("-inf")}),
        ({"asDouble": 2.5, "asInt": None}, {"as_double": 2.5}),
        ({"asInt": 7, "flags": 1}, {"as_int": 7, "flags": 1}),
        (
            {"asInt": 7, "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c"}]},
            {"as_int": 7},
        ),
        ({"asInt": 7, "unknown": {"a": [1]}}, {"as_int": 7}),
    ],
)
def test_values_in_all_their_forms(given_value: dict[str, Any], meant: dict[str, Any]) -> None:
    """64-bit integers in quotes or not; what is unknown or null is passed over."""
    point = {"time_unix_nano": T_NS, **meant}
    expected = request({"name": "a", "gauge": {"data_points": [point]}})

    assert same(to_protobuf(gauge(timeUnixNano=str(T_NS), **given_value)), expected)


def test_bytes_are_base64_of_either_alphabet() -> None:
    for text in ("+/8=", "-_8"):
        attributes = [{"key": "k", "value": {"bytesValue": text}}]

        found = vector.read(to_protobuf(gauge(timeUnixNano=T_NS, asInt=1, attributes=attributes)))

        assert found.samples[0][0] == {"__name__": "a", "k": "+/8="}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", r"body: an object is wanted, not \[\]"),
        (b'{"resourceMetrics": {}}', "resourceMetrics: a list is wanted, not {}"),
        (b'{"resourceMetrics": [7]}', r"resourceMetrics\[0\]: an object is wanted, not 7"),
        (gauge(asInt="x"), r"dataPoints\[0\].asInt: an integer from .* is wanted, not \"x\""),
        (gauge(asInt=1.5), "asInt: an integer"),
        (gauge(asInt=True), "asInt: an integer"),
        (gauge(asInt=2**63), "asInt: an integer"),
        (gauge(asInt="1_0"), "asInt: an integer"),
        (gauge(asDouble="1_0"), "asDouble: a number"),
        (gauge(asDouble=[]), "asDouble: a number"),
        (gauge(asDouble=10**400), "asDouble: a number within the range of a double"),
        (gauge(asDouble="1e400"), "asDouble: a number within the range of a double"),
        (gauge(timeUnixNano=-1), "timeUnixNano: an integer"),
        (gauge(attributes=[{"key": 1}]), r"attributes\[0\].key: a string is wanted, not 1"),
        (gauge(attributes=[{"value": {"bytesValue": "a"}}]), "bytesValue: base64"),
        (gauge(attributes=[{"value": {"boolValue": 1}}]), "boolValue: true or false"),
    ],
)
def test_what_cannot_be_read_is_named(body: bytes, message: str) -> None:
    with pytest.raises(MalformedBody, match=message):
        to_protobuf(body)

"""OTLP over a real broker: both encodings, and answers as the specification says."""

import gzip
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from pipeline.hashing import series_id_of
from schemas.series import MetricType
from tests.topology.edge.test_edge import SEED, announced, edge_client, now_ms, stored
from tests.topology.edge.test_remote_write import metadata
from tests.vectors.otlp import CUMULATIVE, Request, make_request
from topology.settings import Settings

pytestmark = pytest.mark.broker

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def export(at_ms: int, *more: dict[str, Any]) -> Request:
    """Return a counter of 3 at a time, of job `shop/cart`, and further metrics."""
    total = {
        "aggregation_temporality": CUMULATIVE,
        "is_monotonic": True,
        "data_points": [{"time_unix_nano": at_ms * 10**6, "as_int": 3}],
    }
    named = {"service.name": "cart", "service.namespace": "shop", "host.name": "h1"}
    pairs = [{"key": key, "value": {"string_value": value}} for key, value in named.items()]
    metrics = [{"name": "requests", "sum": total}, *more]
    return make_request(
        [{"resource": {"attributes": pairs}, "scope_metrics": [{"metrics": metrics}]}]
    )


def gauge(name: str, *times_ms: int) -> dict[str, Any]:
    points = [{"time_unix_nano": at_ms * 10**6, "as_double": 1.5} for at_ms in times_ms]
    return {"name": name, "gauge": {"data_points": points}}


def as_json(request: Request) -> bytes:
    return json_format.MessageToJson(request).encode()


def partial(answer: httpx.Response) -> tuple[int, str]:
    """Return rejected_data_points and error_message of an answer in either encoding."""
    read = ExportMetricsServiceResponse()
    if answer.headers["content-type"] == "application/json":
        json_format.Parse(answer.content, read)
    else:
        assert answer.headers["content-type"] == "application/x-protobuf"
        read.ParseFromString(answer.content)
    return read.partial_success.rejected_data_points, read.partial_success.error_message


def status(answer: httpx.Response) -> status_pb2.Status:
    if answer.headers["content-type"] == "application/json":
        return json_format.Parse(answer.content, status_pb2.Status())
    return status_pb2.Status.FromString(answer.content)


async def test_both_encodings_are_taken_and_mean_the_same(own_settings: Settings) -> None:
    at = now_ms()
    settings = own_settings.model_copy(update={"otlp_resource_attributes": "host.name, zone"})

    async with edge_client(settings) as client:
        first = await client.post(
            "/v1/metrics", content=export(at).SerializeToString(), headers=PROTOBUF
        )
        second = await client.post(
            "/v1/metrics",
            content=gzip.compress(as_json(export(at + 1))),
            headers=JSON | {"Content-Encoding": "gzip"},
        )
        empty = await client.post("/v1/metrics", content=b"", headers=PROTOBUF)

    assert [one.status_code for one in (first, second, empty)] == [200] * 3
    assert (first.content, second.content, empty.content) == (b"", b"{}", b"")
    assert partial(first) == partial(second) == (0, "")
    counter = {"__name__": "requests_total", "job": "shop/cart", "host_name": "h1"}
    target = {"__name__": "target_info", "job": "shop/cart", "host_name": "h1"}
    ids = [series_id_of(SEED, labels) for labels in (counter, target)]
    assert await announced(settings) == dict(zip(ids, (counter, target), strict=True))
    assert sorted(await stored(settings)) == sorted(
        (series, at + late, value)
        for series, value in zip(ids, (3.0, 1.0), strict=True)
        for late in (0, 1)
    )
    assert {kind for _, kind, _ in await metadata(settings)} == {
        MetricType.COUNTER,
        MetricType.INFO,
    }


async def test_a_partial_success_says_how_many_points_and_why(own_settings: Settings) -> None:
    """The others are kept; a histogram is one point, whatever it is stored as."""
    at = now_ms()
    histogram = {
        "aggregation_temporality": CUMULATIVE,
        "data_points": [
            {
                "time_unix_nano": (at + 10**7) * 10**6,
                "count": 2,
                "bucket_counts": [1, 1],
                "explicit_bounds": [5.0],
            }
        ],
    }
    more = [gauge("good", at), gauge("timeless", 0, 0), {"name": "h", "histogram": histogram}]
    request = export(at, *more)

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/v1/metrics", content=body, headers=headers)
            for body, headers in (
                (request.SerializeToString(), PROTOBUF),
                (as_json(request), JSON),
            )
        ]

    for answer in answers:
        n_refused, message = partial(answer)
        assert (answer.status_code, n_refused) == (200, 3)
        assert "3 data points refused (future, bad_timestamp): h_bucket{" in message
        assert "timeless: time_unix_nano is missing" in message
        assert "timestamps are in nanoseconds" in message
    names = {labels["__name__"] for labels in (await announced(own_settings)).values()}
    assert names >= {"requests_total", "good", "target_info"}
    assert "timeless" not in names


async def test_what_is_refused_as_a_whole_is_a_status_in_the_requests_encoding(
    own_settings: Settings,
) -> None:
    small = own_settings.model_copy(update={"max_body_bytes": 2000})
    cases: list[tuple[bytes, dict[str, str], int, int, str]] = [
        (b"\xff", PROTOBUF, 400, 3, "not a protobuf ExportMetricsServiceRequest"),
        (b"{", JSON, 400, 3, "not JSON"),
        (b'{"resourceMetrics": 1}', JSON, 400, 3, "resourceMetrics"),
        (b"x" * 2001, PROTOBUF, 413, 3, "max_body_bytes"),
        (b"", {"Content-Type": "text/plain"}, 415, 3, "application/x-protobuf"),
        (b"", PROTOBUF | {"Content-Encoding": "br"}, 415, 3, "gzip"),
        (b"", PROTOBUF | {"Authorization": "Bearer x"}, 401, 16, "unknown API key"),
        (b"", JSON | {"Authorization": "Bearer x"}, 401, 16, "unknown API key"),
    ]
    async with edge_client(small) as client:
        answers = [
            await client.post("/v1/metrics", content=body, headers=headers)
            for body, headers, *_ in cases
        ]

    for answer, (_, headers, code, rpc_code, words) in zip(answers, cases, strict=True):
        is_protobuf = headers["Content-Type"] == PROTOBUF["Content-Type"]
        form = "application/x-protobuf" if is_protobuf else "application/json"
        assert (answer.status_code, answer.headers["content-type"]) == (code, form)
        assert status(answer).code == rpc_code
        assert words in status(answer).message
    assert await stored(small) == []


async def test_large_json_is_refused_before_it_is_read(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topology.edge.protocols.otlp._MAX_JSON_BYTES", 100)

    async with edge_client(own_settings) as client:
        answer = await client.post("/v1/metrics", content=b" " * 101, headers=JSON)

    assert answer.status_code == 413
    assert "OTLP as JSON of 101 bytes: at most 100" in status(answer).message

"""Remote write over a real broker: negotiation, headers, and answers as the specifications say."""

import httpx
import numpy as np
import pytest

from pipeline.hashing import series_id_of
from schemas.series import MetricType, decode_series
from schemas.topics import Topic
from tests.topology.edge.test_edge import SEED, edge_client, now_ms, snappy, stored
from tests.topology.running import read_topic
from tests.vectors.remote_write import (
    Family,
    Series2,
    WriteRequest2,
    write_request,
    write_request_2,
)
from topology.settings import Settings

pytestmark = pytest.mark.broker

VERSION_1 = {"Content-Type": "application/x-protobuf;proto=prometheus.WriteRequest"}
VERSION_2 = {"Content-Type": "application/x-protobuf; proto=io.prometheus.write.v2.Request"}


def written(answer: httpx.Response) -> tuple[str, str, str]:
    """Return how many samples, histograms and exemplars an answer says were written."""
    head = "X-Prometheus-Remote-Write-{}-Written"
    samples, histograms, exemplars = (
        answer.headers[head.format(kind)] for kind in ("Samples", "Histograms", "Exemplars")
    )
    return samples, histograms, exemplars


async def metadata(settings: Settings) -> list[tuple[int, MetricType, str]]:
    """Return id, type and unit of each announcement."""
    return [
        (int(series_id), MetricType(int(kind)), unit)
        for record in await read_topic(settings, Topic.SERIES)
        for block in decode_series(record.value)
        for series_id, kind, unit in zip(block.series_ids, block.types, block.units, strict=True)
    ]


async def test_version_2_is_taken_bit_by_bit(own_settings: Settings) -> None:
    """Stale markers among them; a series whose type is known later is announced again."""
    at = now_ms()
    stale = float(np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0])
    labels = {"__name__": "requests_total", "job": "käse"}
    points = [(at, 1.5, 0), (at + 1, stale, 0)]
    bodies = [
        write_request_2([Series2(labels, points)]),
        write_request_2([Series2(labels, points, MetricType.COUNTER, "requests")]),
    ]

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/write", content=snappy(body), headers=VERSION_2)
            for body in [*bodies, bodies[1]]
        ]
        samples = await stored(own_settings)

    assert [(one.status_code, one.content) for one in answers] == [(204, b"")] * 3
    assert [written(one) for one in answers] == [("2", "0", "0")] * 3
    series_id = series_id_of(SEED, labels)
    bits = [(i, t, np.float64(v).view(np.uint64).item()) for i, t, v in samples]
    assert bits == 3 * [
        (series_id, at, np.float64(1.5).view(np.uint64).item()),
        (series_id, at + 1, 0x7FF0000000000002),
    ]
    assert await metadata(own_settings) == [
        (series_id, MetricType.UNKNOWN, ""),
        (series_id, MetricType.COUNTER, "requests"),
    ]


async def test_a_start_is_stored_as_the_sample_zero_once(own_settings: Settings) -> None:
    """Two samples of a counter that began ten seconds ago, and the second of them again."""
    at = now_ms()
    labels, begin = {"__name__": "requests_total"}, at - 10_000
    points = [(at - 5_000, 3.0, begin), (at, 7.0, begin)]
    bodies = [write_request_2([Series2(labels, part)]) for part in (points, points[1:])]

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/write", content=snappy(body), headers=VERSION_2)
            for body in bodies
        ]
        samples = await stored(own_settings)

    assert [written(one)[0] for one in answers] == ["2", "1"]
    assert [(time - at, value) for _, time, value in samples] == [
        (-10_000, 0.0),
        (-5_000, 3.0),
        (0, 7.0),
        (0, 7.0),
    ]


async def test_the_headers_count_what_was_written_and_the_text_what_was_not(
    own_settings: Settings,
) -> None:
    """One good sample of five, a native histogram and two exemplars beside it."""
    at = now_ms()
    request = WriteRequest2(
        symbols=["", "__name__", "good", "no good", "old", "job", "x" * 5000, "unit"]
    )
    for references, time in (([1, 2], at), ([1, 3], at), ([1, 4], 5), ([1, 2, 5, 6], at)):
        request.timeseries.add(labels_refs=references).samples.add(value=1, timestamp=time)
    request.timeseries.add(labels_refs=[1, 99]).samples.add(value=1, timestamp=at)
    histogram = request.timeseries.add(labels_refs=[1, 2])
    histogram.histograms.add()
    histogram.exemplars.add()
    histogram.exemplars.add()

    async with edge_client(own_settings) as client:
        answer = await client.post(
            "/api/v1/write", content=snappy(request.SerializeToString()), headers=VERSION_2
        )
        metrics = (await client.get("/metrics")).text

    assert answer.status_code == 400
    assert written(answer) == ("1", "0", "0")
    assert "5 of 6 samples refused" in answer.text
    for words in (
        "'no good'",
        "sample 2: old: timestamp 5",
        "label 'job' has 5000 bytes",
        "refers to a symbol that the request does not have",
        "sample 5: good: native histograms are not taken",
    ):
        assert words in answer.text
    counted = 'observai_exemplars_skipped_total{protocol="remote_write_2",tenant="default"} 2.0'
    assert counted in metrics
    assert [value for *_, value in await stored(own_settings)] == [1.0]


async def test_version_1_says_what_was_written_too(own_settings: Settings) -> None:
    """With the parameter or without it."""
    body = write_request([{"__name__": "up"}], [[(now_ms(), 1.0)]])

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/write", content=snappy(body), headers=headers)
            for headers in (VERSION_1, {"Content-Type": "application/x-protobuf"}, {})
        ]

    assert [(one.status_code, written(one)) for one in answers] == [(204, ("1", "0", "0"))] * 3


async def test_version_1_tells_of_types_in_requests_of_their_own(own_settings: Settings) -> None:
    """A series known without its type is announced again with it."""
    at = now_ms()
    labels = {"__name__": "requests_total"}
    series = snappy(write_request([labels], [[(at, 1.0)]]))
    told = snappy(write_request([], [], [Family("requests", MetricType.COUNTER, "s", "Help")]))

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/write", content=body, headers=VERSION_1)
            for body in (series, told, series, told, series)
        ]
        metrics = (await client.get("/metrics")).text

    assert [(one.status_code, written(one)[0]) for one in answers] == [
        (204, count) for count in "10101"
    ]
    series_id = series_id_of(SEED, labels)
    assert await metadata(own_settings) == [
        (series_id, MetricType.UNKNOWN, ""),
        (series_id, MetricType.COUNTER, "s"),
    ]
    assert 'observai_memory_bytes{part="metadata"} 2048.0' in metrics


async def test_what_is_not_taken_is_415_and_names_what_is(own_settings: Settings) -> None:
    other = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}

    async with edge_client(own_settings) as client:
        message = await client.post("/api/v1/write", content=b"", headers=other)
        encoding = await client.post(
            "/api/v1/write", content=b"", headers=VERSION_2 | {"Content-Encoding": "br"}
        )
        broken = await client.post("/api/v1/write", content=snappy(b"\x2a"), headers=VERSION_2)

    assert [one.status_code for one in (message, encoding, broken)] == [415, 415, 400]
    assert "io.prometheus.write.v2.Request" in message.json()["error"]
    assert "taken are snappy, zstd" in encoding.json()["error"]
    assert written(broken) == ("0", "0", "0")


async def test_a_body_read_as_the_other_version_is_refused(own_settings: Settings) -> None:
    """Field numbers are disjoint, so under a wrong Content-Type all of it would be lost."""
    at = now_ms()
    first = write_request([{"__name__": "up"}], [[(at, 1.0)]])
    second = write_request_2([Series2({"__name__": "up"}, [(at, 1.0, 0)])])

    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/write", content=snappy(body), headers=headers)
            for body, headers in ((first, VERSION_2), (second, VERSION_1))
        ]

    assert [(one.status_code, written(one)) for one in answers] == [(400, ("0", "0", "0"))] * 2

"""The edge over a real broker: answers, limits, and what stands in the topics after them."""

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import ANY

import cramjam
import httpx
import numpy as np
import pytest

from pipeline.hashing import series_id_of, tenant_hash
from schemas.samples import SampleBlock, decode_samples
from schemas.series import decode_series
from schemas.topics import Topic, partition_of
from tests.topology.running import bootstrap, make_context, read_topic, running
from tests.vectors.remote_write import write_request
from topology.edge.main import edge
from topology.settings import Settings

pytestmark = pytest.mark.broker

SEED = tenant_hash("default")


@asynccontextmanager
async def edge_client(
    settings: Settings, scopes: tuple[str, ...] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    key = await bootstrap(settings, scopes)
    context = make_context("edge", settings)
    async with (
        running(edge, context),
        httpx.AsyncClient(
            base_url=settings.role_url("edge"), headers={"Authorization": f"Bearer {key}"}
        ) as client,
    ):
        yield client


async def stored(settings: Settings) -> list[tuple[int, int, float]]:
    """Return (series id, time, value) of all samples in the topic; check their partitions."""
    samples = []
    for record in await read_topic(settings, Topic.SAMPLES):
        for block in decode_samples(record.value):
            home = partition_of(block.series_ids, settings.partitions)
            assert (home == record.partition).all()
            samples += rows(block)
    return samples


def rows(block: SampleBlock) -> list[tuple[int, int, float]]:
    columns = (block.series_ids.tolist(), block.times_ms.tolist(), block.values.tolist())
    return list(zip(*columns, strict=True))


async def announced(settings: Settings) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for record in await read_topic(settings, Topic.SERIES):
        for block in decode_series(record.value):
            found |= dict(zip(block.series_ids.tolist(), block.labels(), strict=True))
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


async def test_the_example_of_the_replaced_system_works(own_settings: Settings) -> None:
    async with edge_client(own_settings) as client:
        answer = await client.post(
            "/functions/v1/ingest", json={"metrics": [{"name": "test", "value": 1}]}
        )

        assert answer.status_code == 200
        assert answer.json() == {"accepted": 1, "rejected": 0, "errors": []}
        (sample,) = await stored(own_settings)

    series = series_id_of(SEED, {"__name__": "test"})
    assert sample[0] == series
    assert abs(sample[1] - now_ms()) < 60_000
    assert sample[2] == 1.0
    assert await announced(own_settings) == {series: {"__name__": "test"}}


async def test_remote_write_is_taken_bit_by_bit(own_settings: Settings) -> None:
    labels = [{"__name__": "up", "job": f"j{i}"} for i in range(50)]
    at = now_ms()
    stale = float(np.array([0x7FF0000000000002], dtype=np.uint64).view(np.float64)[0])
    body = write_request(labels, [[(at, float(i)), (at + 1, stale)] for i in range(50)])

    async with edge_client(own_settings) as client:
        answer = await client.post("/api/v1/write", content=snappy(body))
        assert (answer.status_code, answer.content) == (204, b"")
        samples = await stored(own_settings)
        again = await client.post("/api/v1/write", content=snappy(body))
        assert again.status_code == 204

    ids = [series_id_of(SEED, one) for one in labels]
    assert {(i, t) for i, t, _ in samples} == {(i, at + d) for i in ids for d in (0, 1)}
    bits = {np.float64(v).view(np.uint64).item() for _, t, v in samples if t == at + 1}
    assert bits == {0x7FF0000000000002}
    told = await announced(own_settings)
    assert [told[i] for i in ids] == labels
    # Known by then, so the second request announced nothing.
    assert sum(
        len(block)
        for record in await read_topic(own_settings, Topic.SERIES)
        for block in decode_series(record.value)
    ) == len(labels)


async def test_a_body_of_several_gzip_members_is_read_whole(own_settings: Settings) -> None:
    """What came after the first member would be acknowledged and lost."""
    text = json.dumps({"metrics": [{"name": f"m{i}", "value": i} for i in range(1000)]}).encode()
    body = gzip.compress(text[:5000]) + gzip.compress(text[5000:])

    async with edge_client(own_settings) as client:
        answer = await client.post(
            "/api/v1/ingest", content=body, headers={"Content-Encoding": "gzip"}
        )
        assert answer.json()["accepted"] == 1000
        samples = await stored(own_settings)

    assert {value for _, _, value in samples} == set(map(float, range(1000)))


async def test_json_comes_as_an_object_a_list_or_lines_compressed_or_not(
    own_settings: Settings,
) -> None:
    points = [json.dumps({"name": "a", "value": value}).encode() for value in range(8)]
    zstd = bytes(cramjam.zstd.compress(b"[" + points[4] + b"]"))
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (b'{"metrics":[' + points[0] + b"]}", {}),
        (b"[" + points[1] + b"," + points[2] + b"]", {"Content-Type": "application/json"}),
        (gzip.compress(b"[" + points[3] + b"]"), {"Content-Encoding": "gzip"}),
        (zstd, {"Content-Encoding": "zstd"}),
        (points[5] + b"\n" + points[6], {"Content-Type": "application/x-ndjson; charset=utf-8"}),
        (points[7] + b"\n", {}),
    ]
    async with edge_client(own_settings) as client:
        answers = [
            await client.post("/api/v1/ingest", content=body, headers=headers)
            for body, headers in bodies
        ]
        samples = await stored(own_settings)

    assert [one.json()["rejected"] for one in answers] == [0] * len(bodies)
    assert sorted(value for *_, value in samples) == list(range(8))


async def test_the_answer_that_the_readme_shows_is_the_answer(own_settings: Settings) -> None:
    """200 where something was accepted, 400 where all was refused, and the same form of both."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    shown = json.loads(re.findall(r'^\{"accepted".*\}$', readme, re.MULTILINE)[0])
    points = [{"name": "test", "value": 1}, {"name": "bad name", "value": 1}]

    async with edge_client(own_settings) as client:
        some = await client.post("/api/v1/ingest", json={"metrics": points})
        none = await client.post("/api/v1/ingest", json={"metrics": points[1:]})
        nothing = await client.post("/api/v1/ingest", json={"metrics": []})
        unreadable = await client.post("/api/v1/ingest", json={"metrics": 1})

    expected = shown | {"errors": [shown["errors"][0] | {"message": ANY}]}
    assert (some.status_code, some.json()) == (200, expected)
    assert some.json()["errors"][0]["message"].startswith("metric name 'bad name': ")
    assert (none.status_code, none.json()["accepted"], none.json()["rejected"]) == (400, 0, 1)
    assert none.json()["errors"][0]["reason"] == "bad_name"
    assert (nothing.status_code, nothing.json()["accepted"]) == (200, 0)
    assert (unreadable.status_code, list(unreadable.json())) == (400, ["error"])


async def test_remote_write_is_taken_as_zstd(own_settings: Settings) -> None:
    body = write_request([{"__name__": "up"}], [[(now_ms(), 7.0)]])

    async with edge_client(own_settings) as client:
        answer = await client.post(
            "/api/v1/write",
            content=bytes(cramjam.zstd.compress(body)),
            headers={"Content-Encoding": "zstd"},
        )
        samples = await stored(own_settings)

    assert answer.status_code == 204
    assert [value for _, _, value in samples] == [7.0]


async def test_the_good_samples_of_a_mixed_request_are_kept(own_settings: Settings) -> None:
    at = now_ms()
    points = [
        {"name": "good", "value": 1, "timestamp": at},
        {"name": "bad name", "value": 1},
        {"name": "good", "value": "x"},
        {"name": "good", "value": 1, "timestamp": at + 3_600_000},
        {"name": "good", "value": 1, "timestamp": 1_700_000_000},
        {"name": "good", "value": 1, "labels": {f"l{i}": "x" for i in range(100)}},
    ]
    async with edge_client(own_settings) as client:
        answer = await client.post("/api/v1/ingest", json={"metrics": points})
        refused = await client.post("/api/v1/ingest", json={"metrics": points[1:]})

    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [(one["index"], one["reason"]) for one in answer.json()["errors"]] == [
        (1, "bad_name"),
        (2, "not_a_number"),
        (3, "future"),
        (4, "too_old"),
        (5, "too_many_labels"),
    ]
    assert refused.status_code == 400
    assert [(i, t, v) for i, t, v in await stored(own_settings)] == [
        (series_id_of(SEED, {"__name__": "good"}), at, 1.0)
    ]


async def test_remote_write_with_bad_samples_says_which_and_keeps_the_others(
    own_settings: Settings,
) -> None:
    at = now_ms()
    labels = [{"__name__": "good"}, {"__name__": "no good"}, {"__name__": "old"}]
    body = write_request(labels, [[(at, 1.0)], [(at, 2.0)], [(5, 3.0)]])

    async with edge_client(own_settings) as client:
        answer = await client.post("/api/v1/write", content=snappy(body))

    assert answer.status_code == 400
    assert "2 of 3 samples refused" in answer.text
    assert "'no good'" in answer.text
    assert "sample 2: old: timestamp 5" in answer.text
    assert [v for _, _, v in await stored(own_settings)] == [1.0]


async def test_keys_are_checked(own_settings: Settings) -> None:
    async with edge_client(own_settings, scopes=("write",)) as client:
        key = client.headers["authorization"].removeprefix("Bearer ")
        body = {"metrics": [{"name": "a", "value": 1}]}

        async def status(authorization: str) -> int:
            answer = await client.post(
                "/api/v1/ingest", json=body, headers={"Authorization": authorization}
            )
            return answer.status_code

        assert await status(f"Bearer {key}") == 200
        assert await status(f"Token {key}") == 200
        assert await status(httpx.BasicAuth("any", key)._auth_header) == 200
        assert await status(f"Bearer {key}x") == 401
        assert await status("Bearer") == 401
        assert await status("Basic !!!") == 401
        assert await status("") == 401
        assert (await client.get("/api/v1/ingest")).json()["status"] == "ok"
        del client.headers["authorization"]
        assert (await client.get("/functions/v1/ingest")).status_code == 401
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200


async def test_a_key_without_the_scope_is_forbidden(own_settings: Settings) -> None:
    async with edge_client(own_settings, scopes=("read",)) as client:
        answer = await client.post("/api/v1/write", content=snappy(b""))

    assert answer.status_code == 403
    assert "'write'" in answer.json()["error"]


async def test_bodies_are_limited_before_and_after_decompression(own_settings: Settings) -> None:
    small = own_settings.model_copy(update={"max_body_bytes": 2000, "max_decoded_bytes": 5000})
    fits = json.dumps({"metrics": [{"name": "a", "value": 1}]}).encode()
    as_gzip = {"Content-Encoding": "gzip"}

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    async with edge_client(small) as client:
        url = "/api/v1/ingest"
        answers = {
            "declared": await client.post(url, content=b" " * 2001),
            "streamed": await client.post(url, content=chunks()),
            "inflated": await client.post(
                url, content=gzip.compress(b" " * 100_000), headers=as_gzip
            ),
            "snappy": await client.post("/api/v1/write", content=snappy(bytes(5001))),
        }
        good = await client.post(url, content=gzip.compress(fits), headers=as_gzip)

    for name, answer in answers.items():
        assert answer.status_code == 413, name
        assert "max_body_bytes" in answer.text or "max_decoded_bytes" in answer.text
    assert good.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/api/v1/ingest", b"{", {}, 400),
        ("/api/v1/ingest", b"x", {"Content-Encoding": "gzip"}, 400),
        ("/api/v1/ingest", gzip.compress(b"{}", mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400),
        ("/api/v1/ingest", b"{}", {"Content-Encoding": "br"}, 415),
        ("/api/v1/ingest", b'{"metrics":' + b"[" * 100_000, {}, 400),
        ("/api/v1/ingest", b'{"metrics":[{"name":"a","value":1,"labels":' + b"[" * 99_999, {}, 400),
        ("/api/v1/write", b"", {}, 400),
        ("/api/v1/write", b"\xff" * 20, {}, 400),
        ("/api/v1/write", bytes(cramjam.snappy.compress_raw(b"\x0a\xff")), {}, 400),
        ("/api/v1/ingest", gzip.compress(b"{}", mtime=0) + b"x", {"Content-Encoding": "gzip"}, 400),
        ("/api/v1/write", b"", {"Content-Encoding": "zstd"}, 400),
        ("/api/v1/write", b"", {"Content-Encoding": "gzip"}, 415),
        ("/api/v1/write", b"", {"Content-Type": "application/json"}, 415),
        (
            "/api/v1/write",
            b"",
            {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
            415,
        ),
    ],
)
async def test_what_cannot_be_read_is_refused_in_words(
    own_settings: Settings, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with edge_client(own_settings) as client:
        answer = await client.post(path, content=body, headers=headers)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert await stored(own_settings) == []


async def test_what_costs_much_and_brings_nothing_does_not_stop_the_others(
    own_settings: Settings,
) -> None:
    """A million empty series, and 50,000 with a bad name, while a neighbour sends."""
    labels = b"\x0a\x15\x0a\x08__name__\x12\x09bad %05d"
    sample = b"\x12\x0b\x09" + bytes(8) + b"\x10\x01"
    series = [labels % i + sample for i in range(50_000)]
    bad = b"".join(b"\x0a" + varint(len(one)) + one for one in series)
    async with edge_client(own_settings) as client:
        heavy = [
            asyncio.create_task(client.post("/api/v1/write", content=snappy(body), timeout=60))
            for body in (b"\x0a\x00" * 1_000_000, bad)
        ]
        light = await client.post(
            "/api/v1/ingest", json={"metrics": [{"name": "a", "value": 1}]}, timeout=10
        )
        answers = await asyncio.gather(*heavy)

    assert light.status_code == 200
    assert [answer.status_code for answer in answers] == [204, 400]
    assert "50000 of 50000 samples refused" in answers[1].text


async def test_a_long_unit_is_refused(own_settings: Settings) -> None:
    points = [{"name": "a", "value": 1, "unit": "u" * n} for n in (256, 257, 70_000)]
    async with edge_client(own_settings) as client:
        answer = await client.post("/api/v1/ingest", json={"metrics": points})

    assert answer.json()["accepted"] == 1
    assert [error["index"] for error in answer.json()["errors"]] == [1, 2]


async def test_a_large_request_is_split_below_the_brokers_limit(own_settings: Settings) -> None:
    at, n = now_ms(), 120_000
    series = b"\x0a\x0d\x0a\x08__name__\x12\x01a"
    samples = b"".join(
        b"\x12\x10\x09" + np.float64(i).tobytes() + b"\x10" + varint(at - i) for i in range(n)
    )
    body = b"\x0a" + varint(len(series) + len(samples)) + series + samples

    async with edge_client(own_settings) as client:
        answer = await client.post("/api/v1/write", content=snappy(body), timeout=30)

    assert answer.status_code == 204
    got = await stored(own_settings)
    assert [v for _, _, v in got] == [float(i) for i in range(n)]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))

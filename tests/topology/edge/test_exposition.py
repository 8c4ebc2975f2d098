"""Text exposition over a real broker: both formats, and a Pushgateway's paths."""

import base64
import gzip

import pytest

from pipeline.hashing import series_id_of
from schemas.series import MetricType
from tests.topology.edge.test_edge import SEED, announced, edge_client, now_ms, stored
from tests.topology.edge.test_remote_write import metadata
from topology.settings import Settings

pytestmark = pytest.mark.broker

PATH = "/api/v1/import/prometheus"
OPEN_METRICS = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}


async def test_both_formats_are_taken_with_types_units_and_starts(own_settings: Settings) -> None:
    """The start of a counter is stored as a sample 0, so that `increase` sees it begin."""
    at = now_ms() // 1000 * 1000
    text = f'# TYPE room_celsius gauge\nroom_celsius{{room="a b"}} 21.5 {at}\n'
    open_metrics = (
        "# TYPE jobs_seconds counter\n# UNIT jobs_seconds seconds\n"
        f'jobs_seconds_total 3 {at / 1000} # {{trace="x"}} 1\n'
        f"jobs_seconds_created {at / 1000 - 10}\n# EOF\n"
    )
    async with edge_client(own_settings) as client:
        first = await client.post(PATH, content=text)
        second = await client.post(
            PATH,
            content=gzip.compress(open_metrics.encode()),
            headers=OPEN_METRICS | {"Content-Encoding": "gzip"},
        )

    assert [(one.status_code, one.content) for one in (first, second)] == [(204, b"")] * 2
    gauge = series_id_of(SEED, {"__name__": "room_celsius", "room": "a b"})
    counter = series_id_of(SEED, {"__name__": "jobs_seconds_total"})
    assert sorted(await metadata(own_settings)) == sorted(
        [(gauge, MetricType.GAUGE, ""), (counter, MetricType.COUNTER, "seconds")]
    )
    assert sorted(await stored(own_settings)) == sorted(
        [(gauge, at, 21.5), (counter, at - 10_000, 0.0), (counter, at, 3.0)]
    )


async def test_the_paths_of_a_pushgateway_give_labels(own_settings: Settings) -> None:
    path = base64.urlsafe_b64encode(b"/var/a b").decode().rstrip("=")

    async with edge_client(own_settings) as client:
        good = await client.put(
            f"{PATH}/metrics/job/nightly+run/path@base64/{path}/empty@base64/=",
            content='a{job="own",x="1"} 1\n',
        )
        bad = [
            await client.post(f"{PATH}/metrics/{rest}", content="a 1\n")
            for rest in ("job", "instance/a", "job/x/y", "job@base64/%FF", "job/%ff")
        ]

    assert good.status_code == 204
    assert list((await announced(own_settings)).values()) == [
        {"__name__": "a", "job": "nightly run", "path": "/var/a b", "x": "1"}
    ]
    assert [one.status_code for one in bad] == [400] * 5
    assert f"expected {PATH}/metrics/job/NAME" in bad[0].json()["error"]


async def test_labels_that_series_share_are_bounded_by_what_they_come_to(
    own_settings: Settings,
) -> None:
    """A short body under a long path."""
    settings = own_settings.model_copy(update={"max_decoded_bytes": 200_000})
    path = "job/a/" + "/".join(f"l{at}/{'v' * 900}" for at in range(20))
    lines = "".join(f"m{at} 1\n" for at in range(100)).encode()
    async with edge_client(settings) as client:
        url = f"{PATH}/metrics/{path}"
        large = await client.post(url, content=lines)
        small = await client.post(url, content=lines[:10])

    assert large.status_code == 413
    assert "max_decoded_bytes" in large.json()["error"]
    assert small.status_code == 204


async def test_good_lines_are_kept_and_bad_ones_named(own_settings: Settings) -> None:
    at = now_ms()
    text = f"a 1 {at}\nb\n\nc 2 {at + 10**8}\n"
    protobuf = {"Content-Type": "application/vnd.google.protobuf; encoding=delimited"}

    async with edge_client(own_settings) as client:
        answer = await client.post(PATH, content=text)
        refused = await client.post(PATH, content=b"", headers=protobuf)
        cut = await client.post(PATH, content=f"b 7 {at / 1000}\nb 12", headers=OPEN_METRICS)
        late = await client.post(PATH, content=f"a 1 {at}\n# EOF\n", headers=OPEN_METRICS)

    assert (answer.status_code, refused.status_code) == (400, 415)
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (1, 2)
    assert [(one["line"], one["reason"]) for one in told["errors"]] == [
        (2, "not_a_number"),
        (4, "future"),
    ]
    assert told["errors"][1]["message"].endswith("timestamps are in milliseconds")
    assert late.json()["errors"][0]["message"].endswith("timestamps are in seconds")
    assert told["error"].startswith("2 of 3 samples refused: line 2: 'b': the value must be")
    assert (cut.status_code, cut.json()["accepted"], cut.json()["rejected"]) == (400, 1, 1)
    assert cut.json()["errors"][0]["line"] == 2
    assert '"# EOF" is missing' in cut.json()["error"]
    assert {value for _, _, value in await stored(own_settings)} == {1.0, 7.0}

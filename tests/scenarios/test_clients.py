"""Unchanged clients send to a running deployment, as docs/clients.md says, and find it stored."""

import contextlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest
import yaml
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from opentelemetry.exporter.otlp.json.http.metric_exporter import (
    OTLPMetricExporter as JsonExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource

from ops.faults.running import Up
from ops.ports import free_base_port
from ops.supervise.child import die_with_parent
from tests.vectors.remote_write import write_request
from tests.waiting import wait_until
from topology.clock import now_ms

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "clients.md").read_text()
SNIPPETS: dict[str, str] = dict(
    re.findall(r"<!-- snippet: (\S+) -->\n```\w*\n(.*?)```", DOC, re.DOTALL)
)
STORED_S = 30
Row = tuple[dict[str, str], int, float]


class Deployment:
    """A running deployment, and the documentation's snippets made for it."""

    def __init__(self, up: Up, folder: Path) -> None:
        self.up = up
        self.folder = folder
        self.url = up.url("edge")
        self.key = up.key()
        self.bearer = {"Authorization": f"Bearer {self.key}"}

    def snippet(self, name: str) -> str:
        """Return a snippet with this deployment's address, data directory and key."""
        text = SNIPPETS[name].replace("http://127.0.0.1:8080", self.url)
        text = text.replace("observai-data", str(self.up.data_dir))
        text = text.replace("127.0.0.1:8091", str(self.up.run["kafka"]))
        return text.replace('"KEY"', f'"{self.key}"').replace("${env:KEY}", self.key)

    def run(self, name: str, more: str = "") -> None:
        """Run a snippet of Python or of the shell."""
        program = sys.executable if name.endswith(".py") else "bash"
        command = [program, "-c", self.snippet(name) + more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def rows(self, metric: str) -> list[Row]:
        """Return labels, time and value of all stored samples of a metric, by time."""
        found = self.up.service().table(
            "SELECT labels, toUnixTimestamp64Milli(time), value FROM samples "
            f"WHERE metric = '{metric}' ORDER BY time, toString(labels)"
        )
        return [(labels, int(at), float(value)) for labels, at, value in found.rows]

    def stored(self, metric: str, n_rows: int = 1) -> list[Row]:
        """Return the rows of a metric when there are that many."""
        wait_until(lambda: len(self.rows(metric)) >= n_rows, STORED_S, f"{n_rows} of {metric}")
        return self.rows(metric)

    def stored_now(self, metric: str) -> tuple[dict[str, str], float]:
        """Return labels and value of a metric's last sample, which was taken just now.

        Before that of a counter stands the zero that it began with.
        """
        *_, (labels, at, value) = self.stored(metric)
        assert abs(at - now_ms()) < 60_000
        return labels, value


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all clients."""
    folder = tmp_path_factory.mktemp("clients")
    up = Up(folder, free_base_port())
    yield Deployment(up, folder)
    up.close()


@contextlib.contextmanager
def beside(command: list[str], folder: Path) -> Iterator[None]:
    """Run a client beside a block; one that is not on the PATH skips the test."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on the PATH")
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        client = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, preexec_fn=die_with_parent(os.getpid())
        )
        try:
            yield
        finally:
            client.kill()
            client.wait()


class Target(http.server.BaseHTTPRequestHandler):
    """What a scrape finds: two samples with times of their own, and a counter with type and unit.

    As OpenMetrics for who takes it, else as Prometheus' text.
    """

    def __init__(self, at_ms: int, *args: Any) -> None:
        self._at_ms = at_ms
        super().__init__(*args)

    def do_GET(self) -> None:
        is_open_metrics = "openmetrics" in self.headers.get("Accept", "")
        at, kind = str(self._at_ms), "text/plain; version=0.0.4"
        counter = "# TYPE scraped_seconds_total counter\n"
        if is_open_metrics:
            at, kind = f"{self._at_ms / 1000:.3f}", "application/openmetrics-text; version=1.0.0"
            counter = "# TYPE scraped_seconds counter\n# UNIT scraped_seconds seconds\n"
        text = f'scraped_celsius{{room="a \\"b\\""}} 21.25 {at}\nscraped_total 3e10 {at}\n'
        text += f"{counter}scraped_seconds_total 12.5\n" + "# EOF\n" * is_open_metrics
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def scraped(at_ms: int) -> Iterator[int]:
    """Serve a target on a port while the block runs."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Target, at_ms)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check_scraped(deployment: Deployment, job: str, at_ms: int, port: int) -> None:
    """Look for both samples of the target, exactly."""
    target = {"job": job, "instance": f"127.0.0.1:{port}"}
    expected = {
        "scraped_celsius": ({"room": 'a "b"'} | target, at_ms, 21.25),
        "scraped_total": (target, at_ms, 3e10),
    }
    for metric, row in expected.items():
        wait_until(lambda m=metric, r=row: r in deployment.rows(m), STORED_S, f"{metric} of {job}")  # type: ignore[misc] # mypy does not infer it


def scrape_config(job: str, port: int) -> dict[str, Any]:
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    return {"job_name": job, "scrape_interval": "1s", "static_configs": targets}


def test_prometheus(deployment: Deployment, tmp_path: Path) -> None:
    # Prometheus passes on what is newer than its own start only.
    at = now_ms() + 60_000
    with scraped(at) as port:
        config = yaml.safe_load(deployment.snippet("prometheus.yml"))
        config["remote_write"][0]["queue_config"] = {"batch_send_deadline": "100ms"}
        config["remote_write"][0]["metadata_config"] = {"send_interval": "1s"}
        config["scrape_configs"] = [scrape_config("by-prometheus", port)]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address=127.0.0.1:{free_base_port()}")
        with beside(command, tmp_path):
            check_scraped(deployment, "by-prometheus", at, port)
            check_type(deployment, "by-prometheus")


def check_type(deployment: Deployment, job: str) -> None:
    """Look for type and unit of the counter, which are told apart from its samples."""
    sql = (
        "SELECT type, unit FROM series "
        f"WHERE metric = 'scraped_seconds_total' AND labels['job'] = '{job}'"
    )

    def is_typed() -> bool:
        rows = deployment.up.service().table(sql).rows
        return [list(row) for row in rows] == [["counter", "seconds"]]

    wait_until(is_typed, STORED_S, f"type of {job}")


def test_vmagent(deployment: Deployment, tmp_path: Path) -> None:
    at = now_ms() - 5000
    with scraped(at) as port:
        config = {"scrape_configs": [scrape_config("by-vmagent", port)]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = deployment.snippet("vmagent.sh").replace("\\\n", " ").split()
        command += [f"-httpListenAddr=127.0.0.1:{free_base_port()}", "-remoteWrite.tmpDataPath=tmp"]
        with beside(command, tmp_path):
            check_scraped(deployment, "by-vmagent", at, port)


def test_collectd(deployment: Deployment, tmp_path: Path) -> None:
    """By what scrapes it, as the documentation says."""
    port = free_base_port()
    own = f'BaseDir "{tmp_path}"\nPIDFile "{tmp_path}/pid"\nInterval 1\nLoadPlugin load\n'
    conf = own + deployment.snippet("collectd.conf").replace("9103", str(port))
    (tmp_path / "collectd.conf").write_text(conf)
    scrape = yaml.safe_load(deployment.snippet("collectd.yml").replace("9103", str(port)))
    scrape["global"] = {"scrape_interval": "1s"}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scrape))
    vmagent = deployment.snippet("vmagent.sh").replace("\\\n", " ").split()
    vmagent += [f"-httpListenAddr=127.0.0.1:{free_base_port()}", "-remoteWrite.tmpDataPath=tmp"]

    with beside(["collectd", "-f", "-C", "collectd.conf"], tmp_path), beside(vmagent, tmp_path):
        labels, _, value = deployment.stored("collectd_load_shortterm")[0]

    assert labels["job"] == "collectd"
    assert value >= 0


def test_remote_write_of_the_official_protobuf(deployment: Deployment) -> None:
    at = now_ms()
    body = write_request([{"__name__": "protobuf_made", "a": "ü"}], [[(at - 1, 0.1), (at, -1e300)]])

    answer = httpx.post(
        f"{deployment.url}/api/v1/write",
        content=bytes(cramjam.snappy.compress_raw(body)),
        headers=deployment.bearer
        | {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
    )

    assert answer.status_code == 204
    stored = deployment.stored("protobuf_made", 2)
    assert stored == [({"a": "ü"}, at - 1, 0.1), ({"a": "ü"}, at, -1e300)]


def test_the_snippet_for_an_opentelemetry_sdk(deployment: Deployment) -> None:
    deployment.run("sdk.py")

    labels, value = deployment.stored_now("orders_seconds_total")
    assert labels.pop("instance")
    assert (labels, value) == ({"job": "cart", "region": "eu"}, 3.0)


def test_an_opentelemetry_sdk_that_is_configured_by_its_environment(
    deployment: Deployment, tmp_path: Path
) -> None:
    program = """
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
provider.get_meter("m").create_gauge("by_environment").set(2.5)
provider.shutdown()
"""
    (tmp_path / "program.py").write_text(program)

    deployment.run("sdk.sh", f"\n{sys.executable} {tmp_path}/program.py")

    assert deployment.stored_now("by_environment")[1] == 2.5


def otlp_exporter(deployment: Deployment, form: str) -> Any:
    endpoint = f"{deployment.url}/v1/metrics"
    if form == "json":
        return JsonExporter(endpoint=endpoint, headers=deployment.bearer)
    return OTLPMetricExporter(
        endpoint=endpoint, headers=deployment.bearer, compression=Compression.Gzip
    )


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_opentelemetry_metrics_arrive_as_they_are(deployment: Deployment, form: str) -> None:
    """A counter, a gauge and a histogram, with the times that the SDK gave them."""
    reader = InMemoryMetricReader()
    resource = Resource({"service.name": form, "service.instance.id": "i", "host.name": "h"})
    provider = MeterProvider([reader], resource)
    meter = provider.get_meter("m")
    meter.create_counter(f"{form}.bytes", unit="By").add(12345678901, {"http.method": "GET"})
    meter.create_gauge(f"{form}.ratio").set(0.1)
    histogram = meter.create_histogram(f"{form}.wait", explicit_bucket_boundaries_advisory=[1, 5])
    histogram.record(3)
    data = reader.get_metrics_data()
    assert data is not None
    exporter = otlp_exporter(deployment, form)

    result = exporter.export(data)

    assert result is MetricExportResult.SUCCESS
    exporter.shutdown()
    provider.shutdown()
    (metrics,) = (scope.metrics for one in data.resource_metrics for scope in one.scope_metrics)
    times = {one.name: one.data.data_points[0].time_unix_nano // 10**6 for one in metrics}
    of = {"job": form, "instance": "i"}
    at = times[f"{form}.wait"]
    assert deployment.stored(f"{form}_bytes_total")[-1] == (
        of | {"http_method": "GET"},
        times[f"{form}.bytes"],
        12345678901.0,
    )
    assert deployment.stored(f"{form}_ratio") == [(of, times[f"{form}.ratio"], 0.1)]
    buckets = [row for row in deployment.stored(f"{form}_wait_bucket", 3) if row[1] == at]
    assert [(labels["le"], value) for labels, _, value in buckets] == [
        ("+Inf", 1.0),
        ("1", 0.0),
        ("5", 1.0),
    ]
    target = (of | {"host_name": "h"}, max(times.values()), 1.0)
    wait_until(lambda: target in deployment.rows("target_info"), STORED_S, "target_info")


def test_the_snippet_for_a_collector(deployment: Deployment) -> None:
    """Not run, but a request made as it says is taken, and its pipeline names its exporter."""
    config = yaml.safe_load(deployment.snippet("collector.yml"))
    ((name, exporter),) = config["exporters"].items()

    answer = httpx.post(
        exporter["metrics_endpoint"],
        content=b"",
        headers=exporter["headers"] | {"Content-Type": "application/x-protobuf"},
    )

    assert config["service"]["pipelines"]["metrics"]["exporters"] == [name]
    assert (answer.status_code, exporter["compression"]) == (200, "gzip")


def test_the_snippets_for_telegraf(deployment: Deployment) -> None:
    """Not run, but requests made as they say are taken, Telegraf's first one included."""
    (second,) = tomllib.loads(deployment.snippet("telegraf.toml"))["outputs"]["influxdb_v2"]
    (first,) = tomllib.loads(deployment.snippet("telegraf-1.toml"))["outputs"]["influxdb"]
    names = {"org": second["organization"], "bucket": second["bucket"]}
    token = {"Authorization": f"Token {second['token']}"}
    login = httpx.BasicAuth(first["username"], first["password"])
    at = now_ms()

    answers = [
        httpx.post(
            f"{second['urls'][0]}/api/v2/write",
            params=names,
            content=f"by_telegraf value=1 {at}000000",
            headers=token,
        ),
        httpx.post(f"{first['urls'][0]}/query", data={"q": 'CREATE DATABASE "any"'}, auth=login),
        httpx.post(
            f"{first['urls'][0]}/write",
            params={"db": first["database"]},
            content=f"by_telegraf value=2 {at + 1}000000",
            auth=login,
        ),
    ]

    assert [one.status_code for one in answers] == [204, 200, 204]
    assert deployment.stored("by_telegraf", 2) == [({}, at, 1.0), ({}, at + 1, 2.0)]


def test_the_snippet_for_influxdb_client(deployment: Deployment) -> None:
    deployment.run("influx.py")

    assert deployment.stored_now("room_celsius") == ({"name": "a b"}, 21.5)
    assert deployment.stored_now("room_people") == ({"name": "a b"}, 3.0)


def test_influxdb_client_writes_what_it_was_given(deployment: Deployment) -> None:
    """And its questions are answered."""
    at = now_ms()
    with InfluxDBClient(deployment.url, token=deployment.key, org="o") as client:
        point = Point("lab,1").tag("to pic", "a=b, c").field("value", 0.1).field("ok", True)  # type: ignore[no-untyped-call] # partly typed
        is_up, version = client.ping(), client.version()
        client.write_api(SYNCHRONOUS).write("b", record=point.time(at, WritePrecision.MS))

    assert is_up
    assert version.startswith("1.8.")
    labels = {"to_pic": "a=b, c"}
    assert deployment.stored("lab_1") == [(labels, at, 0.1)]
    assert deployment.stored("lab_1_ok") == [(labels, at, 1.0)]


def test_the_snippet_for_prometheus_client(deployment: Deployment) -> None:
    deployment.run("push.py")

    labels = {"host": "db", "job": "backup"}
    assert deployment.stored_now("backup_bytes") == (labels, 5e9)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on the PATH")
@pytest.mark.parametrize(
    ("name", "metric", "labels", "value"),
    [
        ("json.sh", "door_open", {"door": "front"}, 1.0),
        ("text.sh", "load_average", {"minutes": "5"}, 0.75),
        ("lines.sh", "power_watts", {"phase": "l1"}, 230.5),
    ],
)
def test_the_snippets_for_curl(
    deployment: Deployment, name: str, metric: str, labels: dict[str, str], value: float
) -> None:
    deployment.run(name)

    assert deployment.stored_now(metric) == (labels, value)


def test_the_example_of_a_kafka_producer(deployment: Deployment) -> None:
    command = deployment.snippet("kafka.sh").split()
    command[0] = sys.executable

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert deployment.stored_now("pressure_pascals") == ({"pump": "north"}, 101325.0)


def test_every_snippet_is_taken_by_a_test() -> None:
    text = Path(__file__).read_text()

    assert len(SNIPPETS) == DOC.count("<!-- snippet: ")
    assert [name for name in SNIPPETS if f'"{name}"' not in text] == []

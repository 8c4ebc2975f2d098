"""SQL over HTTP, against a store that answers from a script."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ops import api, query
from ops.query import Service
from topology.settings import Settings


@dataclass
class Store:
    """Answers in turn with what it was given, and keeps what it was asked."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def store() -> Iterator[Store]:
    kept = Store()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kept.asked.append((self.path, self.headers["Authorization"], body))
            status, answer = kept.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{server.server_port}"
        yield kept
        server.shutdown()


def result(names: str, *rows: list[object]) -> tuple[int, bytes]:
    columns = [{"name": name, "type": "String"} for name in names.split()]
    return 200, json.dumps({"columns": columns, "rows": rows, "elapsed_ms": 1.5}).encode()


def test_a_statement_goes_as_body_with_the_key(store: Store) -> None:
    """POST /api/v1/sql with the format, as the contract says."""
    store.answers = [result("a b", [1, {"x": "y"}])]

    table = Service(store.url, "secret").table("SELECT 1")

    assert store.asked == [("/api/v1/sql?format=json", "Bearer secret", "SELECT 1")]
    assert (table.names, table.rows) == (["a", "b"], [[1, {"x": "y"}]])


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"error": "no such column: foo"}', "no such column: foo"),
        (b'{"message": "too many rows"}', "too many rows"),
        (b"plain words\n", "plain words"),
        (b"", "the store answered 400"),
    ],
)
def test_a_refusal_is_given_in_the_stores_words(store: Store, body: bytes, shown: str) -> None:
    """Only the reason, no JSON and no status line."""
    store.answers = [(400, body)]

    with pytest.raises(api.ApiError) as refused:
        Service(store.url, "k").run("SELECT foo", "json")

    assert str(refused.value) == shown


def test_an_unknown_format_is_refused_before_asking(store: Store) -> None:
    """The message lists the formats."""
    with pytest.raises(api.ApiError, match="choose table, json, csv, arrow, parquet"):
        Service(store.url, "k").run("SELECT 1", "xml")

    assert store.asked == []


def test_the_store_is_found_by_the_data_directory(tmp_path: Path) -> None:
    """A running `up` wrote where it listens; without one the base port tells."""
    settings = Settings(data_dir=tmp_path, port=9000)
    settings.key_file.write_text("the-key\n")

    by_port = query.service(settings, None, None)
    (tmp_path / "run.json").write_text(json.dumps({"urls": {"store": "http://127.0.0.1:7001"}}))
    by_run = query.service(settings, None, None)
    by_option = query.service(settings, "http://elsewhere:1/", "k2")

    assert by_port == Service("http://127.0.0.1:9001", "the-key")
    assert by_run == Service("http://127.0.0.1:7001", "the-key")
    assert by_option == Service("http://elsewhere:1", "k2")


def test_follow_yields_each_sample_once_and_asks_for_newer_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the newest sample seen is where the next question begins."""
    monkeypatch.setattr(query, "FOLLOW_EVERY_S", 0)
    columns = "at metric labels value"
    store.answers = [
        result("now", ["2026-01-01 00:00:00.000"]),
        result(columns, ["2026-01-01 00:00:01.000", "it's", {"a": "b"}, 1]),
        result(columns),
        result(columns, ["2026-01-01 00:00:02.000", "it's", {}, 2]),
    ]

    samples = query.follow(Service(store.url, "k"), "it's")
    first, second = next(samples), next(samples)

    assert (first["value"], second["value"]) == (1, 2)
    asked = [body for _, _, body in store.asked]
    assert all("metric = 'it\\'s'" in statement for statement in asked[1:])
    assert "'2026-01-01 00:00:00.000'" in asked[1]
    assert "'2026-01-01 00:00:01.000'" in asked[2]
    assert "'2026-01-01 00:00:01.000'" in asked[3]

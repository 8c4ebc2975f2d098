"""SQL over a running store role's HTTP API."""

import http
import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

from ops import api
from topology.settings import Settings

FORMATS = ("json", "csv", "arrow", "parquet")
FOLLOW_EVERY_S = 1.0
_FOLLOW_ROWS = 1_000
_TOO_MUCH = {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE}


class Sample(TypedDict):
    """One sample as `tail` prints it."""

    time: str
    metric: str
    labels: dict[str, str]
    value: Any


@dataclass(frozen=True, slots=True)
class Table:
    """A result: column names and ClickHouse types, and rows of JSON values."""

    names: list[str]
    types: list[str]
    rows: list[list[Any]]
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Service:
    """A store role's address with a key for it."""

    url: str
    key: str

    def run(self, statement: str, output_format: str) -> bytes:
        """Run one SELECT; return the body in the format. Raises ApiError in plain words."""
        if output_format not in FORMATS:
            raise api.ApiError(f"--format {output_format}: choose table, {', '.join(FORMATS)}")
        target = "/api/v1/sql?" + urllib.parse.urlencode({"format": output_format})
        return self.post(target, statement.encode())

    def post(self, target: str, body: bytes) -> bytes:
        """Post to a path; return the body of the answer.

        Raises ApiError in plain words, TooMuch where less may be asked for at once.
        """
        return self.ask("POST", target, body)

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        """Send a request; return the body of a good answer. Raises as `post` does."""
        try:
            answer = api.request(method, f"{self.url}{target}", key=self.key, body=body)
        except (OSError, http.client.HTTPException) as error:
            raise api.ApiError(
                f"no answer from {self.url} ({error}). Is `observai up` running? "
                "`observai doctor` tells"
            ) from None
        if answer.status in _TOO_MUCH:
            raise api.TooMuch(_reason(answer))
        if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
            raise api.ApiError(_reason(answer))
        return answer.body

    def table(self, statement: str) -> Table:
        """Run one SELECT; return its rows."""
        return table_of(self.run(statement, "json"))


def table_of(result: bytes) -> Table:
    """Return the rows of a JSON result."""
    read = json.loads(result)
    return Table(
        [column["name"] for column in read["columns"]],
        [column["type"] for column in read["columns"]],
        read["rows"],
        read["elapsed_ms"],
    )


def service(settings: Settings, url: str | None, key: str | None) -> Service:
    """Find the store: by URL, else the `up` that runs on the data directory, else by the port."""
    run = api.read_run(settings.data_dir) or {}
    urls = run.get("urls")
    running = urls.get("store") if isinstance(urls, dict) else None
    found = url or running or settings.role_url("store")
    return Service(found.rstrip("/"), api.read_key(settings, key))


def follow(store: Service, metric: str) -> Iterator[Sample]:
    """Yield samples newer than the newest seen, from now on, for ever."""
    newest = store.table("SELECT toString(now64(3, 'UTC')) AS now").rows[0][0]
    only = f"AND metric = '{escaped(metric)}'" if metric else ""
    while True:
        rows = store.table(
            "SELECT toString(time) AS at, metric, labels, value FROM samples "  # noqa: S608 - escaped, and the store lets only the tenant's rows be read
            f"WHERE time > toDateTime64('{newest}', 3, 'UTC') {only} "
            f"ORDER BY time LIMIT {_FOLLOW_ROWS}"
        ).rows
        for at, name, labels, value in rows:
            yield Sample(time=at, metric=name, labels=labels, value=value)
        newest = rows[-1][0] if rows else newest
        if len(rows) < _FOLLOW_ROWS:
            time.sleep(FOLLOW_EVERY_S)


def escaped(text: str) -> str:
    """Return a text as it stands between the quotes of a string in SQL."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _reason(answer: api.Answer) -> str:
    text = answer.body.decode(errors="replace").strip()
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        text = str(body.get("message") or body.get("error") or text)
    return text or f"the store answered {answer.status}"

"""A client: sends what its source draws, each request until it is taken, and takes it down."""

import http.client
import itertools
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from ops.faults.ledger import Ledger
from ops.faults.running import Stuck, wait
from ops.faults.traffic import JUMPED_AS_JSON, Request, Source
from ops.loadgen import RequestTemplate, encode_series
from topology.clock import now_ms
from topology.tenants import Tenant

# Shorter than a stopped process stays silent: the repeat then overtakes the first attempt.
ANSWER_S = 4.0
TAKEN_S = 180.0
SWITCH_S = 200.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 1.0
_POLL_S = 0.01
# An answer names no more of them.
_ERRORS_SHOWN = 1000
_REFUSED = re.compile(r"(\d+) of \d+ samples refused \(future: (\d+)\)")
# 0: no answer. The others are what senders try again at.
_BUSY = {0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class WrongAnswer(Exception):
    """An edge answered what it must not; the text is the answer."""


@dataclass(slots=True)
class Stream:
    """What one client sends for some time under labels of its own, and what was taken of it."""

    source: Source
    tenant: Tenant
    key: str
    metric: str
    generation: int
    ledger: Ledger = field(default_factory=Ledger)

    def labels(self, series: int) -> dict[str, str]:
        """Return the labels of a series of the source."""
        return {
            "__name__": self.metric,
            "generation": str(self.generation),
            "i": str(series),
            "host": f"h{series % 7}",
        }


class Client(threading.Thread):
    """Sends streams, one after the other, to edges that take turns.

    edges: asked for the URLs before each attempt. stream: what it sends at present.
    """

    def __init__(self, edges: Callable[[], Sequence[str]], stream: Stream) -> None:
        super().__init__(daemon=True)
        self.failure: Exception | None = None
        self._edges = edges
        self.stream = self._wanted = stream
        self._heads: list[bytes] = []
        self._turn = itertools.count()
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._end = threading.Event()
        self._is_abandoned = False

    def run(self) -> None:
        """Send until told to stop; `failure` is then what went wrong."""
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - whoever waits for the client raises it
            self.failure = error
        finally:
            self._disconnect()

    def switch(self, stream: Stream) -> None:
        """Send another stream from now on; return when all of the one before is acknowledged."""
        self._wanted = stream
        wait(lambda: self.stream is stream or self.failure, SWITCH_S, "the client's last request")
        self.check()

    def wait_for_requests(self, n_more: int, deadline_s: float = SWITCH_S) -> None:
        """Return when so many more requests are acknowledged."""
        ledger = self.stream.ledger
        wanted = len(ledger) + n_more
        wait(lambda: len(ledger) >= wanted or self.failure, deadline_s, "the load goes on")
        self.check()

    def check(self) -> None:
        """Raise what ended the client, if anything did."""
        if self.failure is not None:
            raise self.failure

    def finish(self) -> None:
        """End after the request that is under way."""
        self._end.set()
        self.join(SWITCH_S)
        self.check()
        if self.is_alive():
            raise Stuck("the client's last request is not acknowledged")

    def abandon(self) -> None:
        """End at once; the outcome of the last request stays unknown."""
        self._is_abandoned = True
        self._end.set()

    def _send_all(self) -> None:
        while not self._end.is_set():
            if self.stream is not self._wanted or not self._heads:
                self.stream = self._wanted
                n_series = self.stream.source.pattern.n_series
                self._heads = [encode_series(self.stream.labels(i)) for i in range(n_series)]
            source = self.stream.source
            request = source.next(now_ms())
            if request is not None and len(request.series):
                n_attempts = self._deliver(request)
                source.acknowledged(request, n_attempts)
                self.stream.ledger.add(request, n_attempts, now_ms())
            time.sleep(_POLL_S if request is None else source.pattern.pause_s)

    def _deliver(self, request: Request) -> int:
        """Send until taken; return the number of attempts. Raises WrongAnswer."""
        is_json = request.kind == JUMPED_AS_JSON
        path, body = ("/api/v1/ingest", self._json(request)) if is_json else self._protobuf(request)
        until_s = time.monotonic() + TAKEN_S
        pause_s = _FIRST_PAUSE_S
        n_attempts = 0
        while True:
            n_attempts += 1
            edges = self._edges()
            status, text = self._post(edges[next(self._turn) % len(edges)], path, body)
            if status not in _BUSY:
                check_answer(request, status, text)
                return n_attempts
            if time.monotonic() > until_s or self._is_abandoned:
                raise WrongAnswer(f"not taken within {TAKEN_S:.0f} s, last {status}: {text}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    def _protobuf(self, request: Request) -> tuple[str, bytes]:
        template = RequestTemplate([self._heads[i] for i in request.series.tolist()])
        return "/api/v1/write", template.body(request.times_ms, request.values).payload

    def _json(self, request: Request) -> bytes:
        columns = (request.series.tolist(), request.times_ms.tolist(), request.values.tolist())
        points = []
        for series, time_ms, value in zip(*columns, strict=True):
            labels = self.stream.labels(series)
            name = labels.pop("__name__")
            points.append({"name": name, "value": value, "timestamp": time_ms, "labels": labels})
        return json.dumps({"metrics": points}).encode()

    def _post(self, edge: str, path: str, body: bytes) -> tuple[int, str]:
        """Return status and text of one attempt; status 0 where there is no answer."""
        try:
            connection = self._connections.get(edge) or self._connect(edge)
            headers = {"Authorization": f"Bearer {self.stream.key}"} | _TYPES[path]
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            if (broken := self._connections.pop(edge, None)) is not None:
                broken.close()
            return 0, f"no answer: {error!r}"

    def _connect(self, edge: str) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(edge)
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=ANSWER_S
        )
        self._connections[edge] = connection
        return connection

    def _disconnect(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


_TYPES: Mapping[str, dict[str, str]] = {
    "/api/v1/ingest": {"Content-Type": "application/json"},
    "/api/v1/write": {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
}


def check_answer(request: Request, status: int, text: str) -> None:
    """Raise WrongAnswer unless exactly the samples too far ahead were refused, as such."""
    refused = request.is_refused.nonzero()[0].tolist()
    if request.kind == JUMPED_AS_JSON:
        answer = json.loads(text) if status == HTTPStatus.OK else {}
        told = [one["index"] for one in answer.get("errors", ()) if one["reason"] == "future"]
        is_right = told == refused[:_ERRORS_SHOWN] and answer.get("rejected") == len(refused)
    elif refused:
        match = _REFUSED.match(text)
        is_right = status == HTTPStatus.BAD_REQUEST and match is not None
        is_right = is_right and {*map(int, match.groups())} == {len(refused)} if match else False
    else:
        is_right = status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}
    if not is_right:
        raise WrongAnswer(f"{request.kind}: {len(refused)} to be refused, answer {status}: {text}")

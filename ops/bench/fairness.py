"""What a tenant far above its quota does to the delay of one that keeps to its own."""

import http.client
import multiprocessing
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from ops.admin import Admin
from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.scrapes import encode_load
from ops.demo.deployment import Deployment, deployment
from ops.loadgen import Body
from topology.clock import now_ms
from topology.settings import Settings

NAME = "fairness"
WANTED_RATIO, TIMES_QUOTA = 2.0, 10
QUOTA_PER_S, _SERIES = 20_000, 1_000
_ROUNDS, _SECONDS = 3, 10
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and with which headers."""

    url: str
    headers: dict[str, str]


def run(plan: Plan) -> Measurement:
    """Send at the quota alone and beside a tenant that sends ten times its own, in turns."""
    rounds, seconds = (1, 2) if plan.is_quick else (_ROUNDS, _SECONDS)
    per_s = QUOTA_PER_S // _SERIES
    n_requests = seconds * per_s
    alone_ms, beside_ms, counts = [], [], Counter[str]()
    with deployment(Settings()) as running:
        good, greedy = (_add_tenant(running, name) for name in ("good", "greedy"))
        many = _bodies(n_requests * TIMES_QUOTA, plan.seed + 1)
        # Series are announced, and what starts has started.
        _pace(good, _bodies(n_requests, plan.seed), per_s)
        for _ in range(rounds):
            alone_ms.append(_p99_ms(good, n_requests, plan.seed, counts))
            hog = _Hog(greedy, many, per_s * TIMES_QUOTA)
            beside_ms.append(_p99_ms(good, n_requests, plan.seed, counts))
            counts.update({f"greedy {status}": n for status, n in hog.end().items()})
    limit = None if plan.is_quick else WANTED_RATIO
    ratio = float(np.median(beside_ms) / np.median(alone_ms))
    return Measurement(
        [
            Figure(NAME, "p99 alone", "ms", alone_ms),
            Figure(NAME, "p99 beside 10 times a quota", "ms", beside_ms),
            Figure(NAME, "beside by alone", "ratio", [ratio], at_most=limit),
        ],
        {"requests": dict(counts), "samples_per_request": _SERIES, "quota_per_s": QUOTA_PER_S},
    )


def _p99_ms(target: Target, n_requests: int, seed: int, counts: Counter[str]) -> float:
    per_s = QUOTA_PER_S // _SERIES
    taken_s, statuses = _pace(target, _bodies(n_requests, seed), per_s)
    counts.update({f"good {status}": n for status, n in statuses.items()})
    return 1e3 * float(np.quantile(taken_s, 0.99))


def _add_tenant(running: Deployment, name: str) -> Target:
    admin = Admin(running.store())
    overrides = {"samples_per_s": QUOTA_PER_S, "samples_burst": QUOTA_PER_S}
    body = {"name": name, "tier": "enterprise", "overrides": overrides}
    admin.ask("POST", "/tenants", body)
    key = admin.ask("POST", "/keys", {"tenant": name, "scopes": ["write"]})["key"]
    time.sleep(2)  # by then all processes follow
    return Target(running.write_url, {"Authorization": f"Bearer {key}"})


def _bodies(n_requests: int, seed: int) -> list[Body]:
    """Return a request a step, times going on from now."""
    times_ms = now_ms() + np.arange(n_requests)
    return [body for step in encode_load(_SERIES, times_ms, seed) for body in step]


def _pace(target: Target, bodies: Sequence[Body], per_s: float) -> tuple[list[float], Counter[int]]:
    """Send requests one after the other at a pace; return their seconds and statuses."""
    parts = urllib.parse.urlsplit(target.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    taken_s: list[float] = []
    statuses: Counter[int] = Counter()
    began_s = time.monotonic()
    for at, body in enumerate(bodies):
        # A delay counts from when the request was due: waiting for the one before is delay, too.
        due_s = began_s + at / per_s
        time.sleep(max(due_s - time.monotonic(), 0))
        connection.request("POST", parts.path, body.payload, target.headers)
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
        taken_s.append(time.monotonic() - due_s)
    connection.close()
    return taken_s, statuses


class _Hog:
    """Sends at a pace from a process of its own, over several connections, until told to end."""

    def __init__(self, target: Target, bodies: Sequence[Body], per_s: float) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        arguments = (target, bodies, per_s, theirs)
        self._process = multiprocessing.get_context("fork").Process(target=_hog, args=arguments)
        self._process.start()

    def end(self) -> dict[int, int]:
        """Wait for its end; return how many of its requests got each status."""
        counts: dict[int, int] = self._ours.recv()
        self._process.join()
        return counts


def _hog(target: Target, bodies: Sequence[Body], per_s: float, answer: Connection) -> None:
    counts: Counter[int] = Counter()
    lock = threading.Lock()

    def work(first: int) -> None:
        _, statuses = _pace(target, bodies[first::_CONNECTIONS], per_s / _CONNECTIONS)
        with lock:
            counts.update(statuses)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.send(dict(counts))

"""A fresh sample that is acknowledged and can be queried: the sign that all works again."""

import http.client
import itertools
import json
from contextlib import suppress
from http import HTTPStatus

import numpy as np

from ops import api
from ops.faults.client import Stream
from ops.faults.running import KAFKA, Up
from ops.faults.traffic import Pattern, Request, Source
from topology.clock import now_ms
from topology.tenants import DEFAULT_TENANT, Tenant

METRIC = "faults_probe"
_ANSWER_S = 3.0
_DAYS = 30


class Probe:
    """Asks a deployment, time after time, whether all roles are ready and a sample goes through.

    stream: what was acknowledged, to be checked like any other.
    """

    def __init__(self, up: Up) -> None:
        self._up = up
        self._turn = itertools.count()
        self._sent: Request | None = None
        self._n_attempts = 0
        self._is_acknowledged = False
        source = Source(Pattern(1, 1000, 0, 0.0), np.random.default_rng(0))
        tenant = Tenant(DEFAULT_TENANT, "enterprise", _DAYS)
        self.stream = Stream(source, tenant, up.key(), METRIC, 0)

    def begin(self, value: int) -> None:
        """Take up a new sample, with this value and the present time."""
        columns = (np.zeros(1, np.int32), np.array([now_ms()]), np.array([float(value)]))
        self._sent = Request("probe", *columns, np.zeros(1, np.bool_))
        self._n_attempts, self._is_acknowledged = 0, False

    def is_through(self) -> bool:
        """Whether all is ready, the sample acknowledged, and what a query of it gives."""
        if not all(self._up.pid(name) for name in (*self._up.names(), KAFKA)):
            return False
        if not self._up.is_ready():
            return False
        with suppress(OSError, http.client.HTTPException, api.ApiError):
            self._is_acknowledged = self._is_acknowledged or self._post()
            return self._is_acknowledged and self._is_queryable()
        return False

    def _post(self) -> bool:
        assert self._sent is not None
        labels = self.stream.labels(0)
        point = {
            "name": labels.pop("__name__"),
            "value": self._sent.values[0],
            "timestamp": int(self._sent.times_ms[0]),
            "labels": labels,
        }
        edges = self._up.names("edge")
        edge = self._up.url(edges[next(self._turn) % len(edges)])
        self._n_attempts += 1
        answer = api.request(
            "POST",
            f"{edge}/api/v1/ingest",
            key=self.stream.key,
            body=json.dumps({"metrics": [point]}).encode(),
            timeout_s=_ANSWER_S,
        )
        if answer.status != HTTPStatus.OK:
            return False
        self.stream.ledger.add(self._sent, self._n_attempts, now_ms())
        return True

    def _is_queryable(self) -> bool:
        assert self._sent is not None
        statement = f"SELECT count() FROM samples WHERE metric = '{METRIC}' AND value = {{value}}"  # noqa: S608 - our own name
        found = self._up.service().table(statement.format(value=self._sent.values[0]))
        return bool(found.rows[0][0])

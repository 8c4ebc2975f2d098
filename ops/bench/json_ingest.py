"""How fast one core decodes JSON bodies into columns with series ids."""

from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np

from ops.bench.figures import Figure, Measurement, Plan, cpu_rates
from ops.bench.scrapes import Scrapes, labels_of_series
from pipeline.hashing import tenant_hash
from pipeline.json_ingest import JsonReader
from topology.clock import now_ms
from topology.edge.intake import Registry
from topology.edge.protocols.json_points import JsonPoints
from topology.settings import Settings
from topology.tenants import Tenant

NAME = "json"
WANTED_POINTS_PER_S = 800_000
_POINTS_PER_BODY = 1_000
_TENANT = Tenant("default", "enterprise", 30)


def run(plan: Plan) -> Measurement:
    """Measure the decode with ids, and with announcements and times as the edge does it."""
    n_series = 2_000 if plan.is_quick else 20_000
    bodies = [np.frombuffer(body, dtype=np.uint8) for body in _bodies(n_series, plan.seed)]
    registry, seed = Registry(Settings()), tenant_hash(_TENANT.name)
    limits = registry.limits(_TENANT)
    reader, new = JsonReader(1_000_000, 10), JsonReader(0, 10)
    edge = JsonPoints(registry, reader)
    for body in bodies:
        registry.known.add(edge.read(body, _TENANT, now_ms()).series_ids, now_ms())

    def decode(with_cache: JsonReader) -> int:
        now = now_ms()
        return sum(len(with_cache.read(body, seed, now, limits).ids) for body in bodies)

    def take_in() -> int:
        now = now_ms()
        return sum(len(edge.read(body, _TENANT, now).series_ids) for body in bodies)

    works: list[tuple[str, Callable[[], int], float | None]] = [
        ("decode with series ids", partial(decode, reader), WANTED_POINTS_PER_S),
        ("the same, series all new", partial(decode, new), None),
        ("all of the edge's decoding", take_in, None),
    ]
    return Measurement(
        [
            Figure(NAME, name, "points/s a core", cpu_rates(work, plan.repeats), at_least=wanted)
            for name, work, wanted in works
        ],
        {"series": n_series, "bytes_per_point": sum(map(len, bodies)) / n_series},
    )


def _bodies(n_series: int, seed: int) -> list[bytes]:
    values = Scrapes(n_series, np.random.default_rng(seed)).next().tolist()
    time_ms = now_ms()
    points = [
        {"name": labels.pop("__name__"), "value": value, "timestamp": time_ms, "labels": labels}
        for labels, value in zip(labels_of_series(n_series), values, strict=True)
    ]
    return [
        msgspec.json.encode({"metrics": points[at : at + _POINTS_PER_BODY]})
        for at in range(0, n_series, _POINTS_PER_BODY)
    ]

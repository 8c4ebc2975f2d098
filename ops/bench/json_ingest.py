"""How fast one core decodes JSON bodies into columns with series ids."""

import msgspec
import numpy as np

from ops.bench.figures import Figure, Measurement, Plan, cpu_rates
from ops.bench.scrapes import Scrapes, labels_of_series
from pipeline.hashing import tenant_hash
from pipeline.json_ingest import decode_points
from pipeline.json_series import JsonSeries
from topology.clock import now_ms
from topology.edge.intake import Registry
from topology.edge.protocols.json_points import JsonPoints
from topology.settings import Settings
from topology.tenants import Tenant

NAME = "json"
_POINTS_PER_BODY = 1_000
_TENANT = Tenant("default", "enterprise", 30)


def run(plan: Plan) -> Measurement:
    """Measure the decode alone, and with ids, checks and times as the edge does it."""
    n_series = 2_000 if plan.is_quick else 20_000
    bodies = _bodies(n_series, plan.seed)
    registry = Registry(Settings())
    edge = JsonPoints(registry)
    plain = [np.frombuffer(body, dtype=np.uint8) for body in bodies]
    batches = [decode_points(body, now_ms()) for body in bodies]
    series, seed = JsonSeries(64 << 20), tenant_hash(_TENANT.name)
    limits = registry.limits(_TENANT)
    for body in plain:
        registry.known.add(edge.read(body, _TENANT, now_ms()).series_ids, now_ms())

    def decode() -> int:
        return sum(len(decode_points(body, now_ms()).points) for body in bodies)

    def resolve() -> int:
        return sum(len(series.resolve(seed, one.points, one.indexes, limits)[0]) for one in batches)

    def take_in() -> int:
        now = now_ms()
        return sum(len(edge.read(body, _TENANT, now).series_ids) for body in plain)

    per_core = "points/s a core"
    return Measurement(
        [
            Figure(NAME, "decode", per_core, cpu_rates(decode, plan.repeats)),
            Figure(NAME, "series ids, known", per_core, cpu_rates(resolve, plan.repeats)),
            Figure(NAME, "all of the edge's decoding", per_core, cpu_rates(take_in, plan.repeats)),
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

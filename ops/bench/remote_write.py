"""How fast one core takes in remote write: decode, known series, record, and all of it."""

from collections.abc import Callable, Sequence
from functools import partial

import cramjam
import numpy as np
from numpy.typing import NDArray

from ops.bench.figures import Figure, Measurement, Plan, cpu_rates
from ops.bench.scrapes import METRICS, encode_load, scrape_times_ms
from pipeline.decoded import Decoded
from pipeline.families import families_of
from pipeline.hashing import tenant_hash
from pipeline.known_series import KnownSeries
from pipeline.label_cache import LabelCache
from pipeline.remote_write import decode_write_request
from pipeline.routing import split_by_partition
from schemas.samples import SampleBlock, encode_samples
from schemas.series import MetricType
from topology.clock import now_ms
from topology.edge.intake import Registry
from topology.edge.protocols.remote_write import RemoteWrite
from topology.edge.records import records_of
from topology.settings import Settings
from topology.tenants import Tenant

NAME = "remote_write"
WANTED_SERIES_PER_S = 2_500_000
_TENANT = Tenant("default", "enterprise", 30)
_SEED = tenant_hash(_TENANT.name)
_PARTITIONS = 4
_ROUNDS_TO_FILL = 2
# Types of the series' metrics, and of as many others as a cluster has.
_FAMILIES = [
    *((metric, MetricType.GAUGE, "") for metric in METRICS),
    *((f"other_{at}", MetricType.HISTOGRAM, "seconds") for at in range(2_000)),
]


def run(plan: Plan) -> Measurement:
    """Measure each part by itself over the bodies of one scrape."""
    n_series = 4_000 if plan.is_quick else plan.series
    (scrape,) = encode_load(n_series, scrape_times_ms(1, now_ms()), plan.seed)
    bodies = [body.payload for body in scrape]
    plain = [_unsnap(body) for body in bodies]
    requests = [decode_write_request(text, _SEED).samples for text in plain]
    parts: list[tuple[str, str, Callable[[], int], float | None]] = [
        ("decode to record", "series", _take_in(plain), WANTED_SERIES_PER_S),
        ("the same, series all new", "series", partial(_meet, plain), None),
        ("of it, decode with ids", "series", _decode(plain), None),
        ("of it, known-series look-up", "series", _look_up(requests), None),
        ("of it, split and record encode", "samples", _encode(requests), None),
        ("before it, snappy", "series", partial(_unsnap_all, bodies, n_series), None),
    ]
    return Measurement(
        [
            Figure(NAME, name, f"{unit}/s a core", cpu_rates(work, plan.repeats), at_least=wanted)
            for name, unit, work, wanted in parts
        ],
        {
            "series": n_series,
            "body_bytes_per_series": sum(map(len, plain)) / n_series,
            "compressed_bytes_per_series": sum(map(len, bodies)) / n_series,
        },
    )


def _decode(plain: Sequence[NDArray[np.uint8]]) -> Callable[[], int]:
    cache = LabelCache(1_000_000)

    def work() -> int:
        requests = (decode_write_request(text, _SEED, cache).samples for text in plain)
        return sum(len(request.series_ids) for request in requests)

    for _ in range(_ROUNDS_TO_FILL):
        work()
    return work


def _unsnap_all(bodies: Sequence[bytes], n_series: int) -> int:
    for body in bodies:
        _unsnap(body)
    return n_series


def _look_up(requests: Sequence[Decoded]) -> Callable[[], int]:
    known = KnownSeries(1_000_000)
    for request in requests:
        known.add(request.series_ids, now_ms())

    def work() -> int:
        now = now_ms()
        return sum(len(known.unknown(request.series_ids, now)) for request in requests)

    return work


def _encode(requests: Sequence[Decoded]) -> Callable[[], int]:
    ids = np.concatenate([request.series_ids for request in requests])
    times = np.concatenate([request.times_ms for request in requests])
    values = np.concatenate([request.values for request in requests])

    def work() -> int:
        for columns in split_by_partition(ids, times, values, _PARTITIONS):
            encode_samples([SampleBlock(_TENANT.name, now_ms(), 30, *columns)])
        return len(ids)

    return work


def _take_in(plain: Sequence[NDArray[np.uint8]]) -> Callable[[], int]:
    """Return work that takes bodies of announced series in, as the edge does.

    Their types are known, which Prometheus sends by default.
    """
    registry = Registry(Settings())
    registry.metadata.note(_TENANT.name, families_of(_FAMILIES), now_ms())
    edge = RemoteWrite(registry)
    work = partial(_take, edge, registry, plain)
    # The cache of labels grows by beginning anew, so one round does not fill it.
    for _ in range(_ROUNDS_TO_FILL):
        work()
    return work


def _meet(plain: Sequence[NDArray[np.uint8]]) -> int:
    """Take series in for the first time, and encode their announcements."""
    registry = Registry(Settings())
    return _take(RemoteWrite(registry), registry, plain)


def _take(edge: RemoteWrite, registry: Registry, plain: Sequence[NDArray[np.uint8]]) -> int:
    """Decode each body, look its series up and encode its records; return how many series."""
    n_series = 0
    for body in plain:
        now = now_ms()
        intake = edge.read(body, _TENANT, now)
        for _ in records_of([intake], now, _PARTITIONS):
            pass
        for keys in intake.new_keys:
            registry.known.add(keys, now)
        n_series += len(intake.series_ids)
    return n_series


def _unsnap(body: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(bytes(cramjam.snappy.decompress_raw(body)), dtype=np.uint8)

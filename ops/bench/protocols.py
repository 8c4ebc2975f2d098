"""How fast one core decodes OTLP, line protocol and text exposition, series ids included."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ops.bench.figures import Figure, Measurement, Plan, cpu_rates
from ops.bench.scrapes import Scrapes, labels_of_series
from pipeline.decoded import Decoded
from pipeline.exposition.decode import ExpositionReader
from pipeline.hashing import tenant_hash
from pipeline.influx.decode import InfluxReader
from pipeline.otlp.decode import OtlpReader
from pipeline.otlp.labels import Naming
from topology.clock import now_ms

NAME = "protocols"
WANTED_PER_S = 1_500_000
_SEED = tenant_hash("default")
_MAX_KEYS = 1_000_000
_EVER_MS = (0, 1 << 50)
_FIELDS_OF_A_LINE = 8
# Labels that are a machine's, not a series'.
_OF_RESOURCE = ("cluster", "datacenter", "environment", "instance", "job")

Body = NDArray[np.uint8]


def run(plan: Plan) -> Measurement:
    """Measure each protocol over the bodies of one scrape, whose series are known."""
    n_series = 2_000 if plan.is_quick else 20_000
    values = Scrapes(n_series, np.random.default_rng(plan.seed)).next().tolist()
    machines = _machines(n_series, values)
    at_ms = now_ms()
    otlp = [_body(_export(one, at_ms)) for one in machines]
    lines = [_body("\n".join(_lines(one, at_ms)).encode()) for one in machines]
    text = [_body("\n".join(_exposition(one, at_ms)).encode()) for one in machines]
    otlp_reader, influx_reader = OtlpReader(_MAX_KEYS, Naming()), InfluxReader(_MAX_KEYS)
    text_reader = ExpositionReader(_MAX_KEYS)
    works: list[tuple[str, str, list[Body], Callable[[Body], Decoded], float | None]] = [
        (
            "OTLP decode with series ids",
            "points",
            otlp,
            lambda body: otlp_reader.read(body, _SEED, *_EVER_MS).decoded,
            WANTED_PER_S,
        ),
        (
            "line protocol decode with series ids",
            "values",
            lines,
            lambda body: influx_reader.read(body, _SEED, "ns", at_ms).decoded,
            WANTED_PER_S,
        ),
        (
            "text exposition decode with series ids",
            "samples",
            text,
            lambda body: text_reader.read(body, _SEED, at_ms, {}).decoded,
            None,
        ),
    ]
    return Measurement(
        [
            Figure(
                NAME,
                name,
                f"{unit}/s a core",
                cpu_rates(partial(_decode, bodies, read), plan.repeats),
                at_least=None if plan.is_quick else wanted,
            )
            for name, unit, bodies, read, wanted in works
        ],
        {
            "series": n_series,
            "bytes_per_sample": {
                name: sum(map(len, bodies)) / n_series for name, _, bodies, *_ in works
            },
        },
    )


def _decode(bodies: list[Body], read: Callable[[Body], Decoded]) -> int:
    return sum(len(read(body).values) for body in bodies)


def _body(text: bytes) -> Body:
    return np.frombuffer(text, dtype=np.uint8)


Series = tuple[dict[str, str], float]


def _machines(n_series: int, values: list[float], together: int = 10) -> list[list[list[Series]]]:
    """Return bodies of ten machines each, a machine's series with their values together."""
    found: dict[str, list[Series]] = defaultdict(list)
    for labels, value in zip(labels_of_series(n_series), values, strict=True):
        found[labels["instance"]].append((labels, value))
    all_of_them = list(found.values())
    return [all_of_them[at : at + together] for at in range(0, len(all_of_them), together)]


def _export(machines: list[list[Series]], at_ms: int) -> bytes:
    """Return an ExportMetricsServiceRequest: a resource a machine, gauges with a point a series."""
    time = _fixed(3, at_ms * 10**6)
    requests = []
    for machine in machines:
        resource = b"".join(_attribute(1, key, machine[0][0][key]) for key in _OF_RESOURCE)
        points: dict[str, list[bytes]] = defaultdict(list)
        for labels, value in machine:
            pairs = [pair for pair in labels.items() if pair[0] not in {"__name__", *_OF_RESOURCE}]
            attributes = b"".join(_attribute(7, key, text) for key, text in pairs)
            number = bytes([4 << 3 | 1]) + np.float64(value).tobytes()
            points[labels["__name__"]].append(_field(1, attributes + time + number))
        metrics = b"".join(
            _field(2, _field(1, name.encode()) + _field(5, b"".join(of_metric)))
            for name, of_metric in points.items()
        )
        requests.append(_field(1, _field(1, resource) + _field(2, metrics)))
    return b"".join(requests)


def _lines(machines: list[list[Series]], at_ms: int) -> Iterator[str]:
    """Yield lines of several fields each, as Telegraf sends them."""
    for machine in machines:
        for at in range(0, len(machine), _FIELDS_OF_A_LINE):
            several = machine[at : at + _FIELDS_OF_A_LINE]
            labels = several[0][0]
            tags = ",".join(f"{key}={labels[key]}" for key in _OF_RESOURCE)
            fields = ",".join(f"field_{i}={value!r}" for i, (_, value) in enumerate(several))
            yield f"measurement_{at},{tags} {fields} {at_ms}000000"


def _exposition(machines: list[list[Series]], at_ms: int) -> Iterator[str]:
    for machine in machines:
        last = ""
        for labels, value in machine:
            if labels["__name__"] != last:
                last = labels["__name__"]
                yield f"# HELP {last} As node_exporter has it.\n# TYPE {last} gauge"
            yield f"{last}{{{_pairs(labels)}}} {value!r} {at_ms}"


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{text}"' for key, text in labels.items() if key != "__name__")


def _field(number: int, message: bytes) -> bytes:
    size, head = len(message), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + message


def _fixed(number: int, word: int) -> bytes:
    return bytes([number << 3 | 1]) + word.to_bytes(8, "little")


def _attribute(number: int, key: str, text: str) -> bytes:
    return _field(number, _field(1, key.encode()) + _field(2, _field(1, text.encode())))

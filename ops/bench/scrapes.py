"""Made-up scrapes of many machines: labels and values as node_exporter has them, seeded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ops.loadgen import Body, RequestTemplate, encode_series

STEP_MS = 10_000
SAMPLES_PER_REQUEST = 2_000
_SERIES_PER_HOST = 200

# (metric, own labels, how many of them a machine has)
_FAMILIES = (
    ("node_cpu_seconds_total", ("cpu", "mode"), 64),
    ("node_disk_written_bytes_total", ("device",), 12),
    ("node_disk_reads_completed_total", ("device",), 12),
    ("node_network_receive_bytes_total", ("device",), 16),
    ("node_network_transmit_packets_total", ("device",), 16),
    ("node_filesystem_avail_bytes", ("device", "fstype", "mountpoint"), 20),
    ("node_filesystem_files_free", ("device", "fstype", "mountpoint"), 20),
    ("node_hwmon_temp_celsius", ("chip", "sensor"), 20),
    ("node_systemd_unit_state", ("name", "state"), 20),
)
METRICS = tuple(metric for metric, _, _ in _FAMILIES)
_MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")


class Scrapes:
    """Values of n_series, scrape after scrape.

    Of every 20 series 8 are counters of whole numbers, 3 counters that stand still, 5 gauges of
    whole bytes, 2 gauges with two decimals, 2 constants: values compress about as real ones do.
    """

    def __init__(self, n_series: int, rng: np.random.Generator) -> None:
        self.n_series = n_series
        self._rng = rng
        self._kind = np.arange(n_series) % 20
        self._rates = np.round(rng.lognormal(3, 2, n_series)) + 1
        self._values = np.round(rng.lognormal(15, 3, n_series))
        self._values[self._kind >= 16] = np.round(rng.uniform(10, 90, (self._kind >= 16).sum()), 2)

    def next(self) -> NDArray[np.float64]:
        """Return the next scrape, shape (n_series,)."""
        rng, kind, values = self._rng, self._kind, self._values
        counters = kind < 8
        values[counters] += rng.poisson(self._rates[counters])
        gauges = (kind >= 11) & (kind < 16)
        steps = rng.integers(-64, 65, gauges.sum()) * 4096
        values[gauges] = np.maximum(values[gauges] + steps, 0)
        decimals = (kind >= 16) & (kind < 18)
        values[decimals] += np.round(rng.normal(0, 0.3, decimals.sum()), 2)
        values[decimals] = np.round(values[decimals], 2)
        return values.copy()


def labels_of_series(n_series: int) -> Iterator[dict[str, str]]:
    """Yield the labels of n_series: 200 of a machine, 7 to 9 labels each with `__name__`."""
    own_labels = list(_labels_of_machine())
    for series in range(n_series):
        host, at = divmod(series, _SERIES_PER_HOST)
        yield {
            "cluster": f"prod-{host % 7}",
            "datacenter": f"eu-west-{host % 3}",
            "environment": "production",
            "instance": f"node-{host:05d}.example.com:9100",
            "job": "node-exporter",
            **own_labels[at],
        }


def scrape_times_ms(n_steps: int, end_ms: int) -> NDArray[np.int64]:
    """Return the times of n_steps scrapes, the last of which is of end_ms."""
    return end_ms - np.arange(n_steps - 1, -1, -1, dtype=np.int64) * STEP_MS


def encode_load(
    n_series: int,
    times_ms: NDArray[np.int64],
    seed: int,
    together: int = 1,
    per_request: int = SAMPLES_PER_REQUEST,
) -> list[list[Body]]:
    """Return the bodies of the scrape of each time, all encoded, of at most per_request samples.

    together: so many scrapes are in one request, as those of few series are that an agent has held
    back; the number of times is a multiple of it.
    """
    series = [encode_series(labels) for labels in labels_of_series(n_series)]
    width = max(per_request // together, 1)
    cuts = [slice(at, at + width) for at in range(0, n_series, width)]
    templates = [RequestTemplate(series[cut] * together) for cut in cuts]
    scrapes = Scrapes(n_series, np.random.default_rng(seed))
    steps = []
    for times in times_ms.reshape(-1, together):
        values = np.stack([scrapes.next() for _ in range(together)])
        bodies = []
        for template, cut in zip(templates, cuts, strict=True):
            times_of_cut = np.repeat(times, len(template) // together)
            bodies.append(template.body(times_of_cut, values[:, cut].ravel()))
        steps.append(bodies)
    return steps


def _labels_of_machine() -> Iterator[dict[str, str]]:
    """Yield name and own labels of each of a machine's series."""
    for metric, names, count in _FAMILIES:
        for at in range(count):
            yield {"__name__": metric, **_own_labels(names, at)}


def _own_labels(names: tuple[str, ...], at: int) -> dict[str, str]:
    if names == ("cpu", "mode"):
        return {"cpu": str(at // 8), "mode": _MODES[at % 8]}
    return {name: f"{name}{at}" for name in names}

"""A measured figure: its repeats, its spread, and what it has to reach."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """What one benchmark measured; the value is the median of the repeats.

    at_least, at_most: what is wanted of it, None for a figure that only informs.
    """

    bench: str
    name: str
    unit: str
    repeats: list[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        """Median of the repeats."""
        return statistics.median(self.repeats)

    @property
    def spread(self) -> float:
        """Largest minus least repeat, as a share of the median; 0 for one repeat."""
        range_of = max(self.repeats) - min(self.repeats)
        return range_of / abs(self.value) if self.value else 0.0

    @property
    def is_reached(self) -> bool | None:
        """Whether the value is as wanted, None where nothing is."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None

    def as_json(self) -> dict[str, object]:
        """Return what stands in the file of results."""
        derived = {"value": self.value, "spread": self.spread, "reached": self.is_reached}
        return asdict(self) | derived


@dataclass(frozen=True, slots=True)
class Plan:
    """What all benchmarks are told: how large, how often, and with which seed.

    corpora: folder of labelled series, for what scores them.
    """

    seed: int = 1
    repeats: int = 5
    series: int = 100_000
    steps: int = 60
    idle_s: float = 20.0
    is_quick: bool = False
    corpora: str | None = None


@dataclass(slots=True)
class Measurement:
    """One benchmark's result: figures, and facts that explain them."""

    figures: list[Figure] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


def cpu_rates(work: Callable[[], int], repeats: int) -> list[float]:
    """Return items per CPU-second of this process for each repeat, after one to warm up.

    work does its job once and returns the number of items. CPU time and not wall time: what
    else runs on the machine does not count.
    """
    work()
    rates = []
    for _ in range(repeats):
        began_s = time.process_time()
        n_items = work()
        rates.append(n_items / (time.process_time() - began_s))
    return rates

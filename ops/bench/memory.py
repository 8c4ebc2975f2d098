"""Memory of a deployment whose series stay the same, and of one whose series change slowly.

Scrapes come at their own pace, each series once a minute: what grows by the minute shows.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.processes import MB, pss_bytes
from ops.bench.scrapes import SAMPLES_PER_REQUEST, labels_of_series
from ops.demo.deployment import Deployment, deployment
from ops.loadgen import RequestTemplate, Sender, encode_series
from topology.clock import now_ms
from topology.settings import Settings

NAME = "memory"
WANTED_GROWTH_PERCENT = 5.0
_CHURN = 0.01
_LOOKS_PER_MINUTE = 6
_ROLES = ("edge", "worker", "store")


@dataclass(frozen=True, slots=True)
class Shape:
    """How long and how large; minute_s: seconds that a minute takes. growth counts from a minute.

    churn_minutes: so many more, in each of which a hundredth of the series is replaced.
    """

    series: int = 1_000_000
    minute_s: float = 60.0
    minutes: int = 10
    from_minute: int = 3
    churn_minutes: int = 10

    @property
    def n_requests(self) -> int:
        """Requests that a scrape of all series takes."""
        return -(-self.series // SAMPLES_PER_REQUEST)

    @property
    def n_replaced(self) -> int:
        """Requests whose series are replaced in a minute with churn."""
        return max(round(_CHURN * self.n_requests), 1)


_QUICK = Shape(series=10_000, minute_s=1.0, minutes=3, from_minute=2, churn_minutes=2)


@dataclass(slots=True)
class Watched:
    """Memory of each process, look after look, in each minute."""

    idle: dict[str, int]
    minutes: list[list[dict[str, int]]] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        """Return the median of each minute, bytes."""
        return [statistics.median(look[name] for look in looks) for looks in self.minutes]

    def peak(self, name: str, last: int | None = None) -> int:
        """Return the most that was seen, in all minutes or up to the last one named."""
        return max(look[name] for looks in self.minutes[:last] for look in looks)

    def growth_percent(self, name: str, first: int, last: int) -> float:
        """Return by how much a minute is above another one; minutes count from 1."""
        of = self.of(name)
        return 100 * (of[last - 1] / of[first - 1] - 1)


def run(plan: Plan) -> Measurement:
    """Send for ten minutes, and for ten more with new series in each."""
    shape = _QUICK if plan.is_quick else Shape()
    settings = Settings()
    n_new = shape.churn_minutes * shape.n_replaced * SAMPLES_PER_REQUEST
    templates = list(_templates(shape.series + n_new))
    with deployment(settings) as running:
        watched = Watched(pss_bytes(running.pids))
        asyncio.run(_send(running, shape, templates, watched, np.random.default_rng(plan.seed)))
    return Measurement(
        list(_figures(shape, watched, settings, is_quick=plan.is_quick)),
        {
            "series": shape.series,
            "idle": watched.idle,
            "by_minute_mb": {
                name: [round(size / MB, 1) for size in watched.of(name)] for name in watched.idle
            },
        },
    )


def _templates(n_series: int) -> Iterator[RequestTemplate]:
    series = map(encode_series, labels_of_series(n_series))
    while some := list(islice(series, SAMPLES_PER_REQUEST)):
        yield RequestTemplate(some)


async def _send(
    running: Deployment,
    shape: Shape,
    templates: Sequence[RequestTemplate],
    watched: Watched,
    rng: np.random.Generator,
) -> None:
    """Send each template once a minute, and look at the processes meanwhile."""
    sender = Sender(running.write_url, running.key)
    began_s, first = time.monotonic(), 0
    every = -(-shape.n_requests // _LOOKS_PER_MINUTE)
    for minute in range(shape.minutes + shape.churn_minutes):
        first += shape.n_replaced if minute >= shape.minutes else 0
        looks: list[dict[str, int]] = []
        for at in range(shape.n_requests):
            due_s = began_s + (minute + at / shape.n_requests) * shape.minute_s
            await asyncio.sleep(max(due_s - time.monotonic(), 0))
            template = templates[first + at]
            values = np.round(rng.lognormal(3, 1, len(template)), 2)
            await sender.send(template.body(now_ms(), values))
            if at % every == every - 1 or at == shape.n_requests - 1:
                looks.append(pss_bytes(running.pids))
        watched.minutes.append(looks)
    sender.close()


def _figures(
    shape: Shape, watched: Watched, settings: Settings, *, is_quick: bool
) -> Iterator[Figure]:
    last = shape.minutes
    of = f"{shape.series:,} series"
    for name in _ROLES:
        grown = watched.growth_percent(name, shape.from_minute, last)
        limit = WANTED_GROWTH_PERCENT if name == "edge" and not is_quick else None
        title = f"{name}, {of}, minute {shape.from_minute} to {last}"
        yield Figure(NAME, title, "% more", [grown], at_most=limit)
    per_series = {
        name: (watched.peak(name, last) - watched.idle[name]) / shape.series for name in _ROLES
    }
    for name, n_bytes in per_series.items():
        yield Figure(NAME, f"{name}, {of}, at its peak", "bytes/series", [n_bytes])
    yield from _with_churn(shape, watched, settings)


def _with_churn(shape: Shape, watched: Watched, settings: Settings) -> Iterator[Figure]:
    end = shape.minutes + shape.churn_minutes
    for name in _ROLES:
        grown = watched.growth_percent(name, shape.minutes, end)
        title = f"{name}, {shape.churn_minutes} more minutes with 1 % new series in each"
        yield Figure(NAME, title, "% more", [grown])
    peak_mb = watched.peak("edge") / MB
    most_mb = settings.memory_bytes / MB
    yield Figure(NAME, "edge at its peak", "MB", [peak_mb], at_most=most_mb)

"""What an edge refuses, gathered for people: by hour, reason and metric, and a line in the log."""

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from pipeline.admission import Reason
from schemas.events import Rejected
from schemas.series import METRIC_LABEL
from topology.edge.intake import Intake

HOUR_MS = 3_600_000
_LOG_EVERY_MS = 60_000
# Of all tenants together, in an hour; what comes on top counts without a metric.
_MAX_ENTRIES = 10_000
_MAX_LABELS_SHOWN, _MAX_CHARS_SHOWN = 64, 256


@dataclass(frozen=True, slots=True)
class Example:
    """The first sample of a body that was refused for a reason."""

    labels: Mapping[str, str]
    message: str


def examples_of(intake: Intake) -> dict[Reason, Example]:
    """Return one example of each reason; to be called while the body is there."""
    found: dict[Reason, Example] = {}
    for one in intake.refusals.examples:
        if one.reason not in found:
            labels: Mapping[str, str] = {}
            # What cannot be read has no labels.
            with contextlib.suppress(ValueError, msgspec.DecodeError):
                labels = intake.labels_at(one.index)
            found[one.reason] = Example(_shown(labels), _cut(one.message, 2 * _MAX_CHARS_SHOWN))
    return found


def _shown(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels as an example shows them: some, and their begins where they are long."""
    some = list(labels.items())[:_MAX_LABELS_SHOWN]
    return {_cut(name): _cut(value) for name, value in some}


def _cut(text: str, most: int = _MAX_CHARS_SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


class Rejections:
    """Counts of the current hour; a body's refusals of a reason count under its first one's metric.

    So the sum over a reason is exact, and a metric is found with as little work a body as that.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._source = secrets.token_hex(6)
        self._counts: dict[tuple[str, int, str, str], Rejected] = {}
        self._untold: set[tuple[str, int, str, str]] = set()
        # By tenant and reason: when a line was logged, and how many were refused since.
        self._logged: dict[tuple[str, str], tuple[int, int]] = {}

    def note(self, intake: Intake, examples: Mapping[Reason, Example], now_ms: int) -> None:
        """Count what a body has that is refused."""
        for reason, count in intake.refusals.counts.items():
            example = examples.get(reason, Example({}, ""))
            self._count(intake.tenant.name, reason, example, count, now_ms)
            self._say(intake.tenant.name, reason, example, count, now_ms)

    def _count(self, tenant: str, reason: str, example: Example, count: int, now_ms: int) -> None:
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        metric = example.labels.get(METRIC_LABEL, "")
        key = (tenant, hour_ms, reason, metric)
        if key not in self._counts and len(self._counts) >= _MAX_ENTRIES:
            example, metric = Example({}, ""), ""
            key = (tenant, hour_ms, reason, metric)
        before = self._counts.get(key)
        first = before or Rejected(
            *(tenant, hour_ms, reason, metric, self._source),
            *(dict(example.labels), example.message, 0),
        )
        self._counts[key] = msgspec.structs.replace(first, count=first.count + count)
        self._untold.add(key)

    def _say(self, tenant: str, reason: str, example: Example, count: int, now_ms: int) -> None:
        """Log a line a minute, tenant and reason."""
        at_ms, n_since = self._logged.get((tenant, reason), (0, 0))
        n_since += count
        if now_ms - at_ms >= _LOG_EVERY_MS:
            self._log.warning(
                "samples refused",
                tenant=tenant,
                reason=reason,
                count=n_since,
                example=example.message,
            )
            at_ms, n_since = now_ms, 0
        self._logged[tenant, reason] = (at_ms, n_since)

    def take(self, now_ms: int) -> list[Rejected]:
        """Return what has changed since the last call; what hours before held is then forgotten."""
        changed = [self._counts[key] for key in sorted(self._untold)]
        self._untold.clear()
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        self._counts = {key: one for key, one in self._counts.items() if key[1] >= hour_ms}
        return changed

"""What an edge refuses, gathered for people: by hour, reason and metric, and a line in the log."""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from pipeline.admission import Reason
from schemas.events import Rejected
from schemas.series import METRIC_LABEL
from topology.edge.intake import Intake

HOUR_MS = 3_600_000
_LOG_EVERY_MS = 60_000
# In an hour, of all tenants together and of one.
_MAX_ENTRIES, _MAX_OF_TENANT = 10_000, 1_000
_MAX_LABELS_SHOWN, _MAX_CHARS_SHOWN = 64, 256


@dataclass(slots=True)
class Told:
    """Samples of a body, a reason and a metric: how many, and the first one's labels and message.

    metric: "" for what gave no sample, and for samples beyond those that are looked at.
    """

    metric: str
    labels: Mapping[str, str]
    message: str
    count: int


def told_of(intake: Intake) -> dict[Reason, list[Told]]:
    """Return what is refused, by reason; to be called while the body is there."""
    return {reason: _of_reason(intake, reason) for reason in intake.refusals.counts}


def _of_reason(intake: Intake, reason: Reason) -> list[Told]:
    refusals = intake.refusals
    messages = {one.place: one.message for one in refusals.examples if one.reason == reason}
    places = refusals.places.get(reason, [])
    by_metric: dict[str, Told] = {}
    n_left = refusals.counts[reason]
    for place, labels in zip(places, intake.labels_of(places) if places else (), strict=True):
        metric = _cut(labels.get(METRIC_LABEL, ""))
        told = by_metric.get(metric)
        if told is None:
            told = by_metric[metric] = Told(metric, _shown(labels), "", 0)
        told.message = told.message or _cut(messages.get(place, ""), 2 * _MAX_CHARS_SHOWN)
        told.count += 1
        n_left -= 1
    if n_left:
        rest = by_metric.setdefault("", Told("", {}, "", 0))
        rest.message = rest.message or _cut(messages.get(-1, ""), 2 * _MAX_CHARS_SHOWN)
        rest.count += n_left
    return list(by_metric.values())


def _shown(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels as an example shows them: some, and their begins where they are long."""
    some = list(labels.items())[:_MAX_LABELS_SHOWN]
    return {_cut(name): _cut(value) for name, value in some}


def _cut(text: str, most: int = _MAX_CHARS_SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


class Rejections:
    """Counts of the current hour by reason and metric; the sum over a reason is exact.

    Where a tenant has too many metrics, or all tenants together, further ones count without.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._source = secrets.token_hex(6)
        self._counts: dict[tuple[str, int, str, str], Rejected] = {}
        self._untold: set[tuple[str, int, str, str]] = set()
        self._n_of_tenant: Counter[str] = Counter()
        # By tenant and reason: when a line was logged, and how many were refused since.
        self._logged: dict[tuple[str, str], tuple[int, int]] = {}

    def note(self, tenant: str, refused: Mapping[Reason, Sequence[Told]], now_ms: int) -> None:
        """Count what a body has that is refused."""
        for reason, told in refused.items():
            for one in told:
                self._count(tenant, reason, one, now_ms)
            message = next((one.message for one in told if one.message), "")
            self._say(tenant, reason, message, sum(one.count for one in told), now_ms)

    def _count(self, tenant: str, reason: str, told: Told, now_ms: int) -> None:
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        key = (tenant, hour_ms, reason, told.metric)
        if key not in self._counts and self._is_full(tenant):
            told = Told("", {}, "", told.count)
            key = (tenant, hour_ms, reason, "")
        if key not in self._counts:
            self._n_of_tenant[tenant] += 1
            head = (*key, self._source)
            self._counts[key] = Rejected(*head, dict(told.labels), told.message, 0)
        before = self._counts[key]
        self._counts[key] = msgspec.structs.replace(before, count=before.count + told.count)
        self._untold.add(key)

    def _is_full(self, tenant: str) -> bool:
        is_full = self._n_of_tenant[tenant] >= _MAX_OF_TENANT
        return is_full or len(self._counts) >= _MAX_ENTRIES

    def _say(self, tenant: str, reason: str, message: str, count: int, now_ms: int) -> None:
        """Log a line a minute, tenant and reason."""
        at_ms, n_since = self._logged.get((tenant, reason), (0, 0))
        n_since += count
        if now_ms - at_ms >= _LOG_EVERY_MS:
            self._log.warning(
                "samples refused",
                tenant=tenant,
                reason=reason,
                count=n_since,
                example=message,
            )
            at_ms, n_since = now_ms, 0
        self._logged[tenant, reason] = (at_ms, n_since)

    def take(self, now_ms: int) -> list[Rejected]:
        """Return what has changed since the last call; what hours before held is then forgotten."""
        changed = [self._counts[key] for key in sorted(self._untold)]
        self._untold.clear()
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        self._counts = {key: one for key, one in self._counts.items() if key[1] >= hour_ms}
        self._n_of_tenant = Counter(tenant for tenant, *_ in self._counts)
        return changed

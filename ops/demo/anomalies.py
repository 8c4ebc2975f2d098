"""What the scores say of the recording: which provoked incidents they found, and what else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from ops.demo.recording import Incident
from ops.query import Service

# The recording is an hour: minutes would be learned for longer than it lasts.
WIDTH_S = 10
# An alarm so long after the end is still of the incident.
_AFTER_MS = 60_000
_GAP_MS = 120_000
_ALARMS = (
    "SELECT (toUnixTimestamp(window_start) + width_s) * 1000 AS end_ms, "  # noqa: S608 - a number
    f"metric, labels, alarm, reason FROM scores WHERE width_s = {WIDTH_S} AND alarm > 1 "
    "AND labels['instance'] = 'recording' ORDER BY end_ms, alarm DESC, metric"
)
_LEARNED = (
    "SELECT toUnixTimestamp(min(window_start)) * 1000 "  # noqa: S608 - a number
    f"FROM scores WHERE width_s = {WIDTH_S} "
    "AND score > 0 AND labels['instance'] = 'recording'"
)
_OWN = {"job", "instance"}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; end_ms: of its window, when it could be known."""

    end_ms: int
    series: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """An incident, and the first alarm while it lasted; verdict: in words what came of it."""

    incident: Incident
    verdict: str
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Alarms close together where nothing was provoked."""

    begin_ms: int
    n_alarms: int
    highest: Alarm


@dataclass(frozen=True, slots=True)
class Anomalies:
    """All that is told. learned_ms: when the first series had been learned, 0 if none was."""

    learned_ms: int = 0
    found: list[Found] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)


def read_anomalies(store: Service, incidents: Sequence[Incident]) -> Anomalies:
    """Ask the store for the recording's alarms and hold them against the incidents."""
    learned_ms = int(store.table(_LEARNED).rows[0][0])
    alarms = [
        Alarm(int(end_ms), _series(metric, labels), float(score), reason)
        for end_ms, metric, labels, score, reason in store.table(_ALARMS).rows
    ]
    return judge(incidents, alarms, learned_ms)


def judge(incidents: Sequence[Incident], alarms: Sequence[Alarm], learned_ms: int) -> Anomalies:
    """Return for each incident what came of it, and the other alarms by their times.

    alarms: in order of time.
    """
    found, taken = [], set[int]()
    for at, incident in enumerate(incidents):
        inside = [number for number, alarm in enumerate(alarms) if _is_of(alarm, incident)]
        taken |= set(inside)
        first = alarms[inside[0]] if inside else None
        is_repeat = any(
            one.name == incident.name for one in incidents[:at] if _ended(one, learned_ms)
        )
        found.append(
            Found(incident, _verdict(incident, first, learned_ms, is_repeat=is_repeat), first)
        )
    others = [alarm for number, alarm in enumerate(alarms) if number not in taken]
    return Anomalies(learned_ms, found, list(_close_together(others)))


def _is_of(alarm: Alarm, incident: Incident) -> bool:
    end_ms = incident.start_ms + incident.seconds * 1000 + _AFTER_MS
    return incident.start_ms < alarm.end_ms <= end_ms


def _ended(incident: Incident, learned_ms: int) -> bool:
    return bool(incident.start_ms >= learned_ms > 0)


def _verdict(incident: Incident, first: Alarm | None, learned_ms: int, *, is_repeat: bool) -> str:
    if first is not None:
        return f"found after {(first.end_ms - incident.start_ms) / 1000:.0f} s"
    if not learned_ms or incident.start_ms < learned_ms:
        return "still learning"
    return "no higher than before" if is_repeat else "not found"


def _close_together(alarms: Sequence[Alarm]) -> list[Elsewhere]:
    numbers = [0]
    for before, alarm in pairwise(alarms):
        numbers.append(numbers[-1] + (alarm.end_ms - before.end_ms > _GAP_MS))
    found = []
    for _, group in groupby(zip(numbers, alarms, strict=False), key=lambda pair: pair[0]):
        together = [alarm for _, alarm in group]
        highest = max(together, key=lambda alarm: alarm.score)
        found.append(Elsewhere(together[0].end_ms, len(together), highest))
    return found


def _series(metric: str, labels: dict[str, str]) -> str:
    own = [f"{name}={value}" for name, value in labels.items() if name not in _OWN]
    return f"{metric}{{{', '.join(own)}}}" if own else metric

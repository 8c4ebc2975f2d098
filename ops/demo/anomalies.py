"""What the scores say of the recording: which provoked incidents they found, and what else."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

from ops.demo.recording import Incident
from ops.query import Service

# The recording is an hour: minutes would be learned for longer than it lasts.
WIDTH_S = 10
# An alarm so long after the end is still of the incident.
_AFTER_MS = 60_000
_GAP_MS = 120_000
# What is nearly anomalous is asked for, too: it tells how far from found an incident was.
_SCORED = (
    "SELECT (toUnixTimestamp(window_start) + width_s) * 1000 AS end_ms, "  # noqa: S608 - a number
    f"metric, labels, score, alarm, reason FROM scores WHERE width_s = {WIDTH_S} AND score > 0.3 "
    "AND labels['instance'] = 'recording' ORDER BY end_ms, alarm DESC, score DESC, metric, labels"
)
_LEARNED = (
    "SELECT toUnixTimestamp(min(window_start)) * 1000 "  # noqa: S608 - a number
    f"FROM scores WHERE width_s = {WIDTH_S} "
    "AND score > 0 AND labels['instance'] = 'recording'"
)
_OWN = {"job", "instance"}


@dataclass(frozen=True, slots=True)
class Scored:
    """One window of a series; end_ms: when its score could be known."""

    end_ms: int
    series: str
    score: float
    alarm: float
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """An incident; verdict: in words what came of it.

    window: of the first alarm while it lasted, else the one with the highest score, if any.
    """

    incident: Incident
    verdict: str
    window: Scored | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Alarms close together where nothing was provoked."""

    begin_ms: int
    n_alarms: int
    highest: Scored


@dataclass(frozen=True, slots=True)
class Anomalies:
    """All that is told.

    learned_ms: when the first series had been learned, 0 if none was. is_whole: all scores came.
    """

    learned_ms: int = 0
    found: list[Found] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    is_whole: bool = True


def n_scores(store: Service, window_ms: int) -> int:
    """Return how many series of the recording have a score of a window."""
    statement = (
        f"SELECT count() FROM scores WHERE width_s = {WIDTH_S} "  # noqa: S608 - numbers
        f"AND window_start = fromUnixTimestamp({window_ms // 1000}) "
        "AND labels['instance'] = 'recording'"
    )
    return int(store.table(statement).rows[0][0])


def read_anomalies(
    store: Service, incidents: Sequence[Incident], *, is_whole: bool = True
) -> Anomalies:
    """Ask the store for the recording's scores and hold them against the incidents."""
    learned_ms = int(store.table(_LEARNED).rows[0][0])
    windows = [
        Scored(int(end_ms), _series(metric, labels), float(score), float(alarm), reason)
        for end_ms, metric, labels, score, alarm, reason in store.table(_SCORED).rows
    ]
    return replace(judge(incidents, windows, learned_ms), is_whole=is_whole)


def judge(incidents: Sequence[Incident], windows: Sequence[Scored], learned_ms: int) -> Anomalies:
    """Return for each incident what came of it, and the other alarms by their times.

    windows: in order of time, of those that end together the highest alarm first.
    """
    found = [
        _found(incident, [one for one in windows if _is_of(one, incident)], learned_ms)
        for incident in incidents
    ]
    others = [
        one
        for one in windows
        if one.alarm > 1 and not any(_is_of(one, incident) for incident in incidents)
    ]
    return Anomalies(learned_ms, found, list(_close_together(others)))


def _is_of(window: Scored, incident: Incident) -> bool:
    end_ms = incident.start_ms + incident.seconds * 1000 + _AFTER_MS
    return incident.start_ms < window.end_ms <= end_ms


def _found(incident: Incident, inside: Sequence[Scored], learned_ms: int) -> Found:
    first = next((one for one in inside if one.alarm > 1), None)
    if first is not None:
        after_s = (first.end_ms - incident.start_ms) / 1000
        return Found(incident, f"found after {after_s:.0f} s", first)
    if not learned_ms or incident.start_ms < learned_ms:
        return Found(incident, "still learning")
    highest = max(inside, key=lambda one: one.score, default=None)
    if highest is None:
        return Found(incident, "not found")
    is_repeat = highest.score > 1
    verdict = "no higher than before" if is_repeat else f"not found: {highest.score:.2f} at most"
    return Found(incident, verdict, highest)


def _close_together(alarms: Sequence[Scored]) -> list[Elsewhere]:
    numbers = [0]
    for before, alarm in pairwise(alarms):
        numbers.append(numbers[-1] + (alarm.end_ms - before.end_ms > _GAP_MS))
    found = []
    for _, group in groupby(zip(numbers, alarms, strict=False), key=lambda pair: pair[0]):
        together = [alarm for _, alarm in group]
        highest = max(together, key=lambda alarm: alarm.alarm)
        found.append(Elsewhere(together[0].end_ms, len(together), highest))
    return found


def _series(metric: str, labels: dict[str, str]) -> str:
    own = [f"{name}={value}" for name, value in labels.items() if name not in _OWN]
    return f"{metric}{{{', '.join(own)}}}" if own else metric

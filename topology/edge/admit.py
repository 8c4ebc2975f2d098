"""From what a decoder gives to what is published: series are met, bad samples refused."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Reason, find_fault
from pipeline.decoded import Decoded, LabelTable
from pipeline.line_faults import LineFault
from pipeline.refusals import MILLISECONDS, Refusals, refuse_times
from pipeline.salt import salted
from pipeline.selectors import shortened
from pipeline.series_labels import are_plain, lay_out
from schemas.series import Announcement, MetricType, SeriesBlock, series_block
from topology.edge.intake import Intake, Registry
from topology.http import Refused
from topology.tenants import Tenant

# New series whose labels are looked at together: bounds the memory that these take.
_SERIES_AT_ONCE = 2_000
_NO_HISTOGRAMS = "native histograms are not taken; send classic buckets"


@dataclass(slots=True)
class _Met:
    """New series of a body: announcements of the sound ones, and the reasons against the others.

    messages: of the first series with each fault, by index.
    """

    blocks: list[SeriesBlock] = field(default_factory=list)
    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    reasons: dict[int, Reason] = field(default_factory=dict)
    messages: dict[int, str] = field(default_factory=dict)
    worded: Counter[Reason] = field(default_factory=Counter)


def admit(
    registry: Registry,
    decoded: Decoded,
    tenant: Tenant,
    now_ms: int,
    sent_in: str = MILLISECONDS,
) -> Intake:
    """Return the good samples of a body, announcements of its new series, and what is refused.

    sent_in: the unit of the sender's timestamps, for messages about them.
    """
    refusals = Refusals()
    limits = registry.limits(tenant)
    is_copy = np.zeros(len(decoded.times_ms), dtype=np.bool_)
    if tenant.has_pairs:
        decoded, is_copy = registry.pairs.resolve(decoded, tenant, registry.seed(tenant), now_ms)
    met = _meet(registry, decoded, tenant, now_ms, is_copy)
    name_of = _Names(decoded)
    times_ms = np.where(is_copy, now_ms, decoded.times_ms) if is_copy.any() else decoded.times_ms
    good = refuse_times(times_ms, now_ms, limits, refusals, name_of, sent_in)
    good &= ~is_copy
    if met.reasons:
        _refuse_faulty(decoded, met, good, refusals)
    _refuse_histograms(decoded, name_of, refusals)
    ids, starts_ms = decoded.series_ids[decoded.sample_series], decoded.starts_ms
    columns = (ids, decoded.times_ms, decoded.values)
    places = np.empty(0, dtype=np.int64)
    if not good.all():
        places = np.flatnonzero(good)
        columns = (ids[good], decoded.times_ms[good], decoded.values[good])
        starts_ms = starts_ms[good] if len(starts_ms) else starts_ms
    intake = Intake(tenant, *columns, starts_ms, met.blocks, met.keys, refusals)
    intake.n_exemplars = decoded.n_exemplars
    intake.n_points_refused = _count_points(decoded, ~good & ~is_copy)
    intake.n_copies = int(is_copy.sum())
    intake.places = places
    intake.labels_of = name_of.labels_of
    if len(decoded.points):
        intake.points = decoded.points[good]
    return intake


def note_lines(
    intake: Intake, line_of: NDArray[np.int64], faults: Sequence[LineFault], n_bad: int
) -> None:
    """Note what a protocol of lines refuses, and name all refusals of the body by their line.

    line_of: int64 (n,), the line of each decoded sample. faults: of the first of n_bad lines.
    """
    refusals = intake.refusals
    refusals.examples = [replace(one, index=int(line_of[one.index])) for one in refusals.examples]
    # The first bad line is named, whatever else is refused.
    refusals.max_examples += len(faults)
    for fault in faults:
        refusals.add_alike(1, fault.line, fault.reason, fault.message)
    refusals.add_alike(n_bad - len(faults), 0, Reason.BAD_SAMPLE, "")
    intake.n_points_refused += n_bad
    # What is refused later, for a tenant's limits, is named by its line, too.
    intake.lines = intake.points


def _count_points(decoded: Decoded, is_refused: NDArray[np.bool_]) -> int:
    """Return of how many points some sample is refused."""
    if not len(decoded.points):
        return int(is_refused.sum())
    return len(np.unique(decoded.points[is_refused & (decoded.points >= 0)]))


def _refuse_histograms(decoded: Decoded, name_of: "_Names", refusals: Refusals) -> None:
    """Refuse native histograms; their indexes and places follow those of the samples."""
    n_samples, n_named = len(decoded.sample_series), len(decoded.histogram_series)
    places = np.arange(n_samples, n_samples + n_named)
    refusals.add_many(
        places, Reason.NATIVE_HISTOGRAM, lambda k: f"{name_of(int(places[k]))}{_NO_HISTOGRAMS}"
    )
    n_more = decoded.n_histograms - n_named
    refusals.add_alike(n_more, n_samples + n_named, Reason.NATIVE_HISTOGRAM, _NO_HISTOGRAMS)


class _Names:
    """Names the series of a sample in a message, so that its sender can be found.

    Places beyond the samples are those of native histograms.
    """

    def __init__(self, decoded: Decoded) -> None:
        self._decoded = decoded

    def labels_of(self, samples: Sequence[int]) -> list[dict[str, str]]:
        """Return the labels of samples' series, without those that cannot be read."""
        of_samples, of_histograms = self._decoded.sample_series, self._decoded.histogram_series
        n_samples = len(of_samples)
        chosen = [
            int(of_samples[at] if at < n_samples else of_histograms[at - n_samples])
            for at in samples
        ]
        series, which = np.unique(np.array(chosen, dtype=np.int64), return_inverse=True)
        table = self._decoded.labels_of(series)
        found = [table.readable(row) for row in range(len(series))]
        return [found[at] for at in which.tolist()]

    def __call__(self, sample: int) -> str:
        labels = self.labels_of([sample])[0]
        return f"{shortened(labels)}: " if labels else ""


def _refuse_faulty(
    decoded: Decoded, met: _Met, good: NDArray[np.bool_], refusals: Refusals
) -> None:
    """Refuse the samples, in time, of faulty series."""
    codes = {reason: code for code, reason in enumerate(Reason, 1)}
    code_of_series = np.zeros(len(decoded.series_ids), dtype=np.uint8)
    code_of_series[list(met.reasons)] = [codes[reason] for reason in met.reasons.values()]
    code_of_sample = code_of_series[decoded.sample_series] * good
    for reason in dict.fromkeys(met.reasons.values()):
        indexes = np.flatnonzero(code_of_sample == codes[reason])
        of_series = decoded.sample_series[indexes]
        words = [met.messages.get(at, "") for at in of_series[: refusals.max_examples].tolist()]
        refusals.add_many(indexes, reason, words.__getitem__)
    good &= code_of_sample == 0


def _meet(
    registry: Registry,
    decoded: Decoded,
    tenant: Tenant,
    now_ms: int,
    is_copy: NDArray[np.bool_],
) -> _Met:
    met = _Met()
    told = decoded.series_ids if decoded.metadata is None else decoded.metadata.keys
    keys = salted(told, registry.seed(tenant))
    # A series without a sample is nothing to announce, however many a body claims.
    taken = decoded.sample_series[~is_copy] if is_copy.any() else decoded.sample_series
    n_samples = np.bincount(taken, minlength=len(keys))
    with_samples = np.flatnonzero(n_samples)
    unknown = with_samples[registry.known.unknown(keys[with_samples], now_ms)]
    limits = registry.limits(tenant)
    n_bytes = 0
    for chosen in _chunks(unknown):
        table = decoded.labels_of(chosen)
        plain = are_plain(table, limits)
        head = (tenant.name, now_ms, tenant.retention_days)
        if plain.any():
            rows = np.flatnonzero(plain)
            sound = chosen[rows]
            types, units = _metadata_of(decoded, sound)
            counts, lengths, text = lay_out(table, rows)
            n_bytes += len(text)
            _check_labels(n_bytes, registry.settings.max_decoded_bytes)
            ids = decoded.series_ids[sound]
            met.blocks.append(SeriesBlock(*head, ids, counts, lengths, text, types, units))
            met.keys.append(keys[sound])
        series, announced = [], []
        for row in np.flatnonzero(~plain).tolist():
            labels = _sound_labels(table, row, limits, int(chosen[row]), met)
            if labels is not None:
                series.append(int(chosen[row]))
                announced.append(_announcement(decoded, series[-1], labels))
        if announced:
            met.blocks.append(series_block(*head, announced))
            met.keys.append(keys[series])
    return met


def _check_labels(n_bytes: int, most: int) -> None:
    """Raise Refused where series that share texts have many times the labels of their body."""
    if n_bytes > most:
        text = f"the labels of a request's new series are over {most} bytes (max_decoded_bytes)"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{text}: send fewer series at once")


def _chunks(unknown: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for at in range(0, len(unknown), _SERIES_AT_ONCE):
        yield unknown[at : at + _SERIES_AT_ONCE]


def _sound_labels(
    table: LabelTable, row: int, limits: Limits, series: int, met: _Met
) -> dict[str, str] | None:
    """Return the labels of a series, or None where they have a fault, which is noted."""
    try:
        labels = table.labels(row)
        fault = find_fault(labels, limits)
    except UnicodeDecodeError:
        fault = Reason.BAD_LABELS, f"{_readable(table, row)}a label's name or value is not UTF-8"
    except ValueError as error:
        fault = Reason.BAD_LABELS, f"{_readable(table, row)}{error}"
    if fault is None:
        return dict(labels)
    reason, message = fault
    met.reasons[series] = reason
    met.worded[reason] += 1
    if met.worded[reason] <= Refusals().max_examples:
        met.messages[series] = message
    return None


def _readable(table: LabelTable, row: int) -> str:
    labels = table.readable(row)
    return f"{shortened(labels)}: " if labels else ""


def _announcement(decoded: Decoded, series: int, labels: dict[str, str]) -> Announcement:
    types, units = _metadata_of(decoded, np.array([series]))
    return Announcement(
        int(decoded.series_ids[series]), labels, MetricType(int(types[0])), units[0]
    )


def _metadata_of(
    decoded: Decoded, series: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[str]]:
    if decoded.metadata is None:
        return np.zeros(len(series), dtype=np.uint8), [""] * len(series)
    return decoded.metadata.types[series], list(map(decoded.metadata.unit_of, series.tolist()))

"""Text exposition: from a body to samples with the ids of their series, and refused lines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason
from pipeline.decoded import Decoded, Metadata, table_of
from pipeline.exposition.labels import labels_of_key
from pipeline.exposition.lines import (
    BAD_NUMBER,
    BAD_TIME,
    OPEN_LABELS,
    TOO_LARGE,
    Lines,
    decode_lines,
)
from pipeline.exposition.scan import BUCKET, COUNT, CREATED, SUM
from pipeline.hashing import series_id_of
from pipeline.key_ids import KeyIds
from pipeline.line_faults import LineFault, shown
from pipeline.new_labels import NewLabels
from schemas.series import MetricType

# What is said of each fault of a line.
FAULTS = {
    OPEN_LABELS: (Reason.BAD_LABELS, "the brace of its labels is not closed"),
    BAD_NUMBER: (Reason.NOT_A_NUMBER, "the value must be a number, NaN, +Inf or -Inf"),
    TOO_LARGE: (Reason.NOT_A_NUMBER, "the value is beyond all floats"),
    BAD_TIME: (
        Reason.BAD_TIMESTAMP,
        "after the value only a timestamp may follow: milliseconds, in OpenMetrics seconds",
    ),
}
_MAX_WORDED = 100
_ODD = np.uint64(0x9E3779B97F4A7C15)
_WITH_CREATED = (MetricType.COUNTER, MetricType.HISTOGRAM, MetricType.SUMMARY)


@dataclass(frozen=True, slots=True)
class Points:
    """What a body gives.

    decoded: a series for each sample, the number of the line as its point. faults: the first of
    the n_bad lines that are refused, by line.
    """

    decoded: Decoded
    faults: list[LineFault]
    n_bad: int


class ExpositionReader:
    """Reads bodies of all tenants; remembers the ids of series, at most max_keys twice over."""

    def __init__(self, max_keys: int) -> None:
        self._ids = KeyIds(max_keys)

    def n_bytes(self) -> int:
        """Return the memory of what is remembered."""
        return self._ids.n_bytes()

    def read(
        self,
        body: NDArray[np.uint8],
        tenant_seed: np.uint64,
        now_ms: int,
        shared: Mapping[str, str],
        *,
        is_open_metrics: bool = False,
    ) -> Points:
        """Decode a body; tenant_seed as of hashing.tenant_hash. Raises TooManySamples.

        now_ms: time of samples without a timestamp. shared: labels that all series get.
        """
        seed = np.uint64(series_id_of(tenant_seed, dict(shared))) if shared else tenant_seed
        lines = decode_lines(body, seed, now_ms, is_open_metrics=is_open_metrics)
        met = _Met(body, lines, tenant_seed, shared)
        is_created = _are_created(lines)
        keys = np.ascontiguousarray(lines.rows["key"])
        ids = self._ids.resolve(keys, ~is_created, met.id_of, tenant_seed)
        broken = np.flatnonzero((ids == 0) & ~is_created)
        faults = [_fault_of(body, one) for one in lines.bad_lines]
        faults += [met.fault_of(row) for row in broken[:_MAX_WORDED].tolist()]
        faults.sort(key=lambda one: one.line)
        starts_ms = _starts_of(lines, is_created)
        return Points(_decoded(lines, ids, starts_ms, met), faults, lines.n_bad + len(broken))


class _Met(NewLabels):
    """A body's new series, by row."""

    def __init__(
        self,
        body: NDArray[np.uint8],
        lines: Lines,
        tenant_seed: np.uint64,
        shared: Mapping[str, str],
    ) -> None:
        self._body = body
        self._rows = lines.rows
        self._families = lines.families

        def labels_of(row: int) -> dict[str, str]:
            return labels_of_key(self._key(row), shared)

        super().__init__(labels_of, tenant_seed)

    def unit_of(self, row: int) -> str:
        """Return the unit of a row's series, "" for none or what is no text."""
        family = int(self._rows["family"][row])
        if family < 0:
            return ""
        one = self._families[family]
        return self._body[one["unit_start"] : one["unit_end"]].tobytes().decode(errors="replace")

    def fault_of(self, row: int) -> LineFault:
        """Return what is wrong with a row that has no id."""
        one = self._rows[row]
        words = self.fault(row) or "its labels cannot be read"
        text = shown(self._body, int(one["key_start"]), int(one["key_end"]))
        return LineFault(int(one["line"]), Reason.BAD_LABELS, f"{text}: {words}")

    def _key(self, row: int) -> bytes:
        one = self._rows[row]
        return self._body[one["key_start"] : one["key_end"]].tobytes()


def _are_created(lines: Lines) -> NDArray[np.bool_]:
    """Return which rows, shape (n,), say since when a counter counts: no samples of their own."""
    family, suffix = lines.rows["family"], lines.rows["suffix"]
    if not len(lines.families):
        return np.zeros(len(family), dtype=np.bool_)
    kinds = lines.families["kind"][np.maximum(family, 0)]
    found: NDArray[np.bool_] = (suffix == CREATED) & (family >= 0) & np.isin(kinds, _WITH_CREATED)
    return found


def _starts_of(lines: Lines, is_created: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return since when each row counts, int64 (n,), 0 where that is not told; (0,) for none.

    Told are counters, also those that histograms and summaries consist of, by a `_created` with
    the same labels.
    """
    rows = lines.rows
    seconds = lines.values[is_created]
    told = np.flatnonzero(is_created)[(seconds > 0) & (seconds < 1e12)]
    if not len(told):
        return np.empty(0, dtype=np.int64)
    bases, first = np.unique(rows["base"][told], return_index=True)
    created_ms = np.rint(lines.values[told[first]] * 1000).astype(np.int64)
    kinds = lines.families["kind"][np.maximum(rows["family"], 0)]
    is_part = np.isin(rows["suffix"], (BUCKET, COUNT, SUM)) & np.isin(kinds, _WITH_CREATED)
    is_counter = is_part | (kinds == MetricType.COUNTER)
    place = np.minimum(np.searchsorted(bases, rows["base"]), len(bases) - 1)
    is_told = is_counter & (rows["family"] >= 0) & (bases[place] == rows["base"])
    return np.where(is_told, created_ms[place], 0)


def _decoded(
    lines: Lines, ids: NDArray[np.uint64], starts_ms: NDArray[np.int64], met: _Met
) -> Decoded:
    rows, values = lines.rows, lines.values
    good = np.flatnonzero(ids)
    if len(good) < len(ids):
        rows, values, ids = rows[good], values[good], ids[good]
        starts_ms = starts_ms[good] if len(starts_ms) else starts_ms
    types, unit_keys = np.zeros(len(ids), np.uint8), np.zeros(len(ids), np.uint64)
    if len(lines.families):
        has_family = rows["family"] >= 0
        families = lines.families[np.maximum(rows["family"], 0)]
        types = np.where(has_family, families["kind"], 0).astype(np.uint8)
        unit_keys = np.where(has_family, (families["unit_key"] + types) * _ODD, 0)
    return Decoded(
        ids,
        np.arange(len(ids), dtype=np.int32),
        np.ascontiguousarray(rows["time_ms"]),
        values,
        lambda series: table_of([met.labels(row) for row in good[series].tolist()]),
        starts_ms,
        Metadata(types, ids ^ unit_keys, lambda one: met.unit_of(int(good[one]))),
        n_exemplars=lines.n_exemplars,
        points=rows["line"].astype(np.int64),
    )


def _fault_of(body: NDArray[np.uint8], bad: np.void) -> LineFault:
    reason, words = FAULTS[int(bad["fault"])]
    text = shown(body, int(bad["start"]), int(bad["end"]))
    return LineFault(int(bad["line"]), reason, f"{text}: {words}")

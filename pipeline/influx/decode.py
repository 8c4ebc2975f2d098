"""Influx line protocol: from a body to samples with the ids of their series, and refused lines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason
from pipeline.decoded import Decoded, table_of
from pipeline.influx.labels import labels_of
from pipeline.influx.lines import (
    BAD_FIELD,
    BAD_NUMBER,
    BAD_TIME,
    NO_FIELDS,
    NO_KEY,
    OPEN_STRING,
    TOO_LARGE,
    Lines,
    decode_lines,
)
from pipeline.key_ids import KeyIds
from pipeline.line_faults import LineFault, shown
from pipeline.new_labels import NewLabels

# What is said of each fault of a line; "unable to parse" and "missing fields" are InfluxDB's words.
FAULTS = {
    NO_KEY: (Reason.BAD_NAME, "missing measurement"),
    NO_FIELDS: (Reason.BAD_SAMPLE, "missing fields"),
    BAD_FIELD: (Reason.BAD_SAMPLE, "expected field=value, with commas between fields"),
    OPEN_STRING: (Reason.BAD_SAMPLE, "a quoted string does not end"),
    BAD_NUMBER: (
        Reason.NOT_A_NUMBER,
        "a value is neither a number (1, 1.5, 1i, 1u), nor true or false, nor a string in quotes",
    ),
    TOO_LARGE: (Reason.NOT_A_NUMBER, "a number is beyond what its type can hold"),
    BAD_TIME: (
        Reason.BAD_TIMESTAMP,
        "the timestamp must be one whole number in the request's precision, at the line's end",
    ),
}
_MAX_WORDED = 100


@dataclass(frozen=True, slots=True)
class Points:
    """What a body gives.

    decoded: a series for each sample, the number of the line as its point. faults: the first of
    the n_bad lines that are refused, by line. n_strings: fields left out.
    """

    decoded: Decoded
    faults: list[LineFault]
    n_bad: int
    n_strings: int


class InfluxReader:
    """Reads bodies of all tenants; remembers the ids of series, at most max_keys twice over."""

    def __init__(self, max_keys: int) -> None:
        self._ids = KeyIds(max_keys)

    def n_bytes(self) -> int:
        """Return the memory of what is remembered."""
        return self._ids.n_bytes()

    def read(
        self, body: NDArray[np.uint8], tenant_seed: np.uint64, precision: str, now_ms: int
    ) -> Points:
        """Decode a body; see decode_lines. Raises TooManySamples."""
        lines = decode_lines(body, tenant_seed, precision, now_ms)
        met = _Met(body, lines, tenant_seed)
        keys = np.ascontiguousarray(lines.rows["key"])
        ids = self._ids.resolve(keys, np.ones(len(keys), dtype=np.bool_), met.id_of, tenant_seed)
        faults = [_fault_of(body, one) for one in lines.bad_lines]
        n_bad = lines.n_bad
        good = np.flatnonzero(ids)
        if len(good) < len(ids):
            broken, first = np.unique(lines.rows["line"][ids == 0], return_index=True)
            n_bad += len(broken)
            rows = np.flatnonzero(ids == 0)[first[:_MAX_WORDED]]
            faults = sorted(faults + [met.fault_of(row) for row in rows.tolist()], key=_line_of)
        return Points(_decoded(lines, good, ids, met), faults, n_bad, lines.n_strings)


class _Met(NewLabels):
    """A body's new series, by row."""

    def __init__(self, body: NDArray[np.uint8], lines: Lines, tenant_seed: np.uint64) -> None:
        super().__init__(lambda row: labels_of(body, lines, row), tenant_seed)
        self._body = body
        self._rows = lines.rows

    def fault_of(self, row: int) -> LineFault:
        """Return what is wrong with a row that has no id."""
        one = self._rows[row]
        words = self.fault(row) or "its tags cannot be read"
        text = shown(self._body, int(one["key_start"]), int(one["key_end"]))
        message = f"unable to parse {text}: {words}"
        return LineFault(int(one["line"]), Reason.BAD_LABELS, message)


def _decoded(lines: Lines, good: NDArray[np.int64], ids: NDArray[np.uint64], met: _Met) -> Decoded:
    rows, values = lines.rows, lines.values
    if len(good) < len(ids):
        rows, values, ids = rows[good], values[good], ids[good]
    return Decoded(
        ids,
        np.arange(len(ids), dtype=np.int32),
        np.ascontiguousarray(rows["time_ms"]),
        values,
        lambda series: table_of([met.labels(row) for row in good[series].tolist()]),
        points=rows["line"].astype(np.int64),
    )


def _fault_of(body: NDArray[np.uint8], bad: np.void) -> LineFault:
    reason, words = FAULTS[int(bad["fault"])]
    text = shown(body, int(bad["start"]), int(bad["end"]))
    return LineFault(int(bad["line"]), reason, f"unable to parse {text}: {words}")


def _line_of(fault: LineFault) -> int:
    return fault.line

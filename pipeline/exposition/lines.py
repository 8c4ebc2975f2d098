"""Text exposition: from the text of a body to rows, a row for each sample, compiled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.errors import TooManySamples
from pipeline.exposition.scan import (
    DECIMAL,
    HASH,
    INFINITE,
    MINUS_INFINITE,
    NEWLINE,
    NO_NUMBER,
    OPEN,
    RETURN,
    TYPE,
    UNIT,
    end_of_labels,
    end_of_name,
    end_of_word,
    hash_without_bound,
    keyword_of,
    number_kind,
    skip_blanks,
    suffix_of,
    type_of,
)
from pipeline.hashing import avalanche, xxh64
from pipeline.influx.scan import read_time
from pipeline.numbers import parse_numbers
from pipeline.text_scan import end_of_line
from schemas.series import MetricType

# key: 64 bits for tenant, name and labels as sent; never 0. base: the same for the name without
# its suffix, and without the bound of a bucket. key_start, key_end: name and labels in the body.
# family: index, -1 for none.
ROW = np.dtype(
    [
        ("key", "<u8"),
        ("base", "<u8"),
        ("time_ms", "<i8"),
        ("key_start", "<i4"),
        ("key_end", "<i4"),
        ("line", "<i4"),
        ("family", "<i4"),
        ("suffix", "u1"),
    ],
    align=True,
)
# What lines of comments say of a metric: its name and unit in the body, and its MetricType.
FAMILY = np.dtype(
    [
        ("name_start", "<i4"),
        ("name_end", "<i4"),
        ("unit_start", "<i4"),
        ("unit_end", "<i4"),
        ("unit_key", "<u8"),
        ("kind", "u1"),
    ],
    align=True,
)
BAD_LINE = np.dtype([("line", "<i4"), ("start", "<i4"), ("end", "<i4"), ("fault", "u1")])
# Faults of a line; those of numbers beyond what is taken are found last.
NO_FAULT, OPEN_LABELS, BAD_NUMBER, TOO_LARGE, BAD_TIME = range(5)

MAX_ROWS = 1 << 21
_LEAST_ROWS = 64
_BYTES_PER_ROW = 24
_BAD_LINES_KEPT = 100
_LAST_MS = float(1 << 62)
_HISTOGRAM = int(MetricType.HISTOGRAM)
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Lines:
    """A body as rows.

    rows: of dtype ROW, (n,), in the order sent; values: float64 (n,). families: of dtype FAMILY,
    those with samples. bad_lines: of dtype BAD_LINE, the first of the n_bad lines that are
    refused, by line.
    """

    rows: NDArray[np.void]
    values: NDArray[np.float64]
    families: NDArray[np.void]
    bad_lines: NDArray[np.void]
    n_bad: int
    n_exemplars: int


def decode_lines(
    body: NDArray[np.uint8], seed: np.uint64, now_ms: int, *, is_open_metrics: bool
) -> Lines:
    """Decode a body; seed stands for the tenant and what else all of the body's series share.

    now_ms: time of samples without a timestamp. is_open_metrics: timestamps are seconds, not ms,
    and exemplars may follow them. Labels are hashed, not parsed, so they may still be broken.
    Raises TooManySamples.
    """
    n_rows, n_families = len(body) // _BYTES_PER_ROW + _LEAST_ROWS, _LEAST_ROWS
    bad_lines = np.empty(_BAD_LINES_KEPT, dtype=BAD_LINE)
    while True:
        rows = np.empty(min(n_rows, MAX_ROWS), dtype=ROW)
        values = np.empty(len(rows), dtype=np.float64)
        numbers = np.empty((len(rows), 3), dtype=np.int32)
        times = np.empty((len(rows) if is_open_metrics else 0, 3), dtype=np.int32)
        families = np.empty(n_families, dtype=FAMILY)
        n_rows, n_families, n_numbers, n_times, n_bad, n_exemplars = _decode(
            body,
            seed,
            is_open_metrics,
            now_ms,
            rows,
            values,
            numbers,
            times,
            families,
            np.zeros(1, dtype=FAMILY),
            bad_lines,
        )
        if n_rows > MAX_ROWS:
            raise TooManySamples(f"more than {MAX_ROWS} samples in one request: send less at once")
        if n_rows <= len(rows) and n_families <= len(families):
            break
    rows, values = rows[:n_rows], values[:n_rows]
    faults = np.zeros(n_rows, dtype=np.uint8)
    numbers, times = numbers[:n_numbers], times[:n_times]
    parsed = parse_numbers(body, np.ascontiguousarray(numbers[:, 1:]))
    values[numbers[:, 0]] = parsed
    faults[numbers[:, 0][np.isinf(parsed)]] = TOO_LARGE
    if n_times:
        times_ms = np.rint(parse_numbers(body, np.ascontiguousarray(times[:, 1:])) * 1000)
        is_time = np.abs(times_ms) < _LAST_MS
        rows["time_ms"][times[:, 0]] = np.where(is_time, times_ms, 0).astype(np.int64)
        faults[times[:, 0][~is_time]] = BAD_TIME
    lines = Lines(rows, values, families[:n_families], bad_lines[:n_bad], n_bad, n_exemplars)
    return _without(lines, faults) if faults.any() else lines


def _without(lines: Lines, faults: NDArray[np.uint8]) -> Lines:
    """Take out rows with a fault."""
    rows = lines.rows
    refused = np.flatnonzero(faults)
    more = np.zeros(len(refused), dtype=BAD_LINE)
    for name, column in (("line", "line"), ("start", "key_start"), ("end", "key_end")):
        more[name] = rows[column][refused]
    more["fault"] = faults[refused]
    bad_lines = np.sort(np.concatenate((lines.bad_lines, more)), order="line")[:_BAD_LINES_KEPT]
    good = faults == NO_FAULT
    n_bad = lines.n_bad + len(refused)
    return Lines(
        rows[good], lines.values[good], lines.families, bad_lines, n_bad, lines.n_exemplars
    )


@njit(cache=True, nogil=True)
def _read_comment(body: NDArray[np.uint8], at: int, end: int, family: Any) -> bool:
    """Take what a comment says of a family; return whether that is another one than before."""
    at = skip_blanks(body, at + 1, end)
    word_end = end_of_word(body, at, end)
    keyword = keyword_of(body, at, word_end)
    if keyword < 0:
        return False
    name = skip_blanks(body, word_end, end)
    name_end = end_of_word(body, name, end)
    if name_end == name:
        return False
    is_new = suffix_of(body, name, name_end, family.name_start, family.name_end) != 0
    if is_new:
        family.name_start, family.name_end = name, name_end
        family.unit_start = family.unit_end = 0
        family.kind = 0
    text = skip_blanks(body, name_end, end)
    text_end = end_of_word(body, text, end)
    if keyword == TYPE:
        family.kind = type_of(body, text, text_end)
    elif keyword == UNIT:
        family.unit_start, family.unit_end = text, text_end
    # One that is declared again, after its samples, is another one for those that follow.
    return is_new or keyword in (TYPE, UNIT)


@njit(cache=True, nogil=True)
def _decode(
    body: NDArray[np.uint8],
    seed: np.uint64,
    is_open_metrics: bool,  # noqa: FBT001 - compiled
    now_ms: int,
    rows: Any,
    values: NDArray[np.float64],
    numbers: NDArray[np.int32],
    times: NDArray[np.int32],
    families: Any,
    one_family: Any,
    bad_lines: Any,
) -> tuple[int, int, int, int, int, int]:
    """Write all rows; return the numbers of rows, families, numbers, times, bad lines, exemplars.

    numbers, times: int32 (m, 3), row, start and end of each decimal. Beyond the ends of rows and
    families it only counts.
    """
    n, n_families, n_numbers, n_times, n_bad, n_exemplars = 0, 0, 0, 0, 0, 0
    family = one_family[0]
    is_put = False
    line, at, end = 1, 0, len(body)
    while at < end:
        at = skip_blanks(body, at, end)
        if at >= end:
            break
        byte = body[at]
        if byte in (NEWLINE, RETURN):
            line += byte == NEWLINE
            at += 1
            continue
        if byte == HASH:
            line_end = end_of_line(body, at, end)
            if _read_comment(body, at, line_end, family):
                is_put = False
            at = line_end
            continue
        start, fault = at, NO_FAULT
        name_end = end_of_name(body, at, end)
        key_end = name_end
        at = skip_blanks(body, name_end, end)
        if at < end and body[at] == OPEN:
            key_end = end_of_labels(body, at, end)
            if key_end < 0:
                fault = OPEN_LABELS
                key_end = name_end
            else:
                at = skip_blanks(body, key_end, end)
        word = at
        at = end_of_word(body, at, end)
        kind = number_kind(body, word, at)
        if fault == NO_FAULT and kind == NO_NUMBER:
            fault = BAD_NUMBER
        word_end = at
        at = skip_blanks(body, at, end)
        time_ms, time_at, time_end = now_ms, at, at
        if fault == NO_FAULT and at < end and body[at] not in (NEWLINE, RETURN, HASH):
            at = end_of_word(body, at, end)
            time_end = at
            if is_open_metrics:
                is_sound = number_kind(body, time_at, time_end) == DECIMAL
            else:
                time_ms, is_sound = read_time(body, time_at, time_end, 1, 1)
            if not is_sound:
                fault = BAD_TIME
            at = skip_blanks(body, at, end)
        if fault == NO_FAULT and at < end and body[at] not in (NEWLINE, RETURN):
            if is_open_metrics and body[at] == HASH:
                n_exemplars += 1
            else:
                fault = BAD_TIME
        at = end_of_line(body, at, end)
        if fault != NO_FAULT:
            if n_bad < len(bad_lines):
                bad = bad_lines[n_bad]
                bad.line, bad.start, bad.end, bad.fault = line, start, at, fault
            n_bad += 1
            continue
        suffix = -1
        if family.name_end > 0:
            suffix = suffix_of(body, start, name_end, family.name_start, family.name_end)
        if suffix >= 0 and not is_put:
            family.unit_key = xxh64(body, family.unit_start, family.unit_end)
            if n_families < len(families):
                families[n_families] = family
            n_families += 1
            is_put = True
        if n < len(rows):
            row = rows[n]
            row.key = avalanche((seed ^ xxh64(body, start, key_end)) * _ODD) | np.uint64(1)
            row.base = np.uint64(0)
            if suffix >= 0:
                if family.kind == _HISTOGRAM:
                    labels = hash_without_bound(body, name_end, key_end)
                else:
                    labels = xxh64(body, name_end, key_end)
                row.base = avalanche(np.uint64(n_families) * _ODD ^ labels) | np.uint64(1)
            row.time_ms = time_ms
            row.key_start, row.key_end, row.line = start, key_end, line
            row.family = n_families - 1 if suffix >= 0 else -1
            row.suffix = max(suffix, 0)
            if kind == DECIMAL:
                numbers[n_numbers, 0] = n
                numbers[n_numbers, 1], numbers[n_numbers, 2] = word, word_end
                n_numbers += 1
            elif kind == INFINITE:
                values[n] = np.inf
            elif kind == MINUS_INFINITE:
                values[n] = -np.inf
            else:
                values[n] = np.nan
            if is_open_metrics and time_end > time_at:
                times[n_times, 0] = n
                times[n_times, 1], times[n_times, 2] = time_at, time_end
                n_times += 1
        n += 1
    return n, n_families, n_numbers, n_times, n_bad, n_exemplars

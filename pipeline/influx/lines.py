"""Influx line protocol: from the text of a body to rows, a row for each number, compiled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.errors import TooManySamples
from pipeline.hashing import avalanche, xxh64
from pipeline.influx.scan import (
    COMMA,
    EQUALS,
    FLOAT,
    HASH,
    INTEGER,
    NEWLINE,
    NO_NUMBER,
    NO_VALUE,
    OUT_OF_RANGE,
    QUOTE,
    RETURN,
    SPACE,
    STRING,
    TAB,
    TRUE,
    end_of_name,
    end_of_string,
    end_of_value,
    kind_of,
    read_integer,
    read_time,
    skip_spaces,
)
from pipeline.numbers import parse_numbers
from pipeline.text_scan import end_of_line

# key: 64 bits for tenant, measurement and tags as sent, and field; never 0. Places in the body:
# of the key (measurement and tags), of the field's name, and of the value where it is a decimal.
ROW = np.dtype(
    [
        ("key", "<u8"),
        ("time_ms", "<i8"),
        ("key_start", "<i4"),
        ("key_end", "<i4"),
        ("field_start", "<i4"),
        ("field_end", "<i4"),
        ("line", "<i4"),
    ]
)
BAD_LINE = np.dtype([("line", "<i4"), ("start", "<i4"), ("end", "<i4"), ("fault", "u1")])
# Faults of a line; that of a row whose decimal is beyond all floats is found last.
NO_FAULT, NO_KEY, NO_FIELDS, BAD_FIELD, OPEN_STRING, BAD_NUMBER, TOO_LARGE, BAD_TIME = range(8)

MAX_ROWS = 1 << 21
_LEAST_ROWS = 64
_BYTES_PER_ROW = 24
_BAD_LINES_KEPT = 100
_ODD = np.uint64(0x9E3779B97F4A7C15)

# Units of a timestamp in a millisecond, and milliseconds in a unit, by the precision's name.
PRECISIONS = {
    "ns": (1_000_000, 1),
    "n": (1_000_000, 1),
    "us": (1_000, 1),
    "u": (1_000, 1),
    "µ": (1_000, 1),
    "µs": (1_000, 1),
    "ms": (1, 1),
    "s": (1, 1_000),
    "m": (1, 60_000),
    "h": (1, 3_600_000),
}


@dataclass(frozen=True, slots=True)
class Lines:
    """A body as rows.

    rows: of dtype ROW, (n,), in the order sent; values: float64 (n,). bad_lines: of dtype
    BAD_LINE, the first of the n_bad lines that are refused, by line. n_strings: fields left out.
    """

    rows: NDArray[np.void]
    values: NDArray[np.float64]
    bad_lines: NDArray[np.void]
    n_bad: int
    n_strings: int


def decode_lines(
    body: NDArray[np.uint8], tenant_seed: np.uint64, precision: str, now_ms: int
) -> Lines:
    """Decode a body; tenant_seed as of hashing.tenant_hash, precision one of PRECISIONS.

    now_ms: time of lines without a timestamp. Keys are hashed, not parsed, so tags may still be
    broken. Raises TooManySamples.
    """
    n_rows = len(body) // _BYTES_PER_ROW + _LEAST_ROWS
    bad_lines = np.empty(_BAD_LINES_KEPT, dtype=BAD_LINE)
    while True:
        rows = np.empty(min(n_rows, MAX_ROWS), dtype=ROW)
        values = np.empty(len(rows), dtype=np.float64)
        decimals = np.empty((len(rows), 3), dtype=np.int32)
        n_rows, n_decimals, n_bad, n_strings = _decode(
            body, tenant_seed, *PRECISIONS[precision], now_ms, rows, values, decimals, bad_lines
        )
        if n_rows > MAX_ROWS:
            raise TooManySamples(f"more than {MAX_ROWS} values in one request: send less at once")
        if n_rows <= len(rows):
            break
    decimals = decimals[:n_decimals]
    values[decimals[:, 0]] = parse_numbers(body, np.ascontiguousarray(decimals[:, 1:]))
    lines = Lines(rows[:n_rows], values[:n_rows], bad_lines[:n_bad], n_bad, n_strings)
    return _without_infinite(lines)


def _without_infinite(lines: Lines) -> Lines:
    """Take out lines with a decimal beyond all floats; other infinite values there are none."""
    if np.isfinite(lines.values).all():
        return lines
    rows = lines.rows
    infinite, first = np.unique(rows["line"][np.isinf(lines.values)], return_index=True)
    is_bad = np.isin(rows["line"], infinite)
    more = np.zeros(len(infinite), dtype=BAD_LINE)
    of_line = rows[np.isinf(lines.values)][first]
    more["line"], more["start"], more["fault"] = infinite, of_line["key_start"], TOO_LARGE
    more["end"] = of_line["field_end"]
    bad_lines = np.sort(np.concatenate((lines.bad_lines, more)), order="line")[:_BAD_LINES_KEPT]
    n_bad = lines.n_bad + len(infinite)
    return Lines(rows[~is_bad], lines.values[~is_bad], bad_lines, n_bad, lines.n_strings)


@njit(cache=True, nogil=True)
def _decode(
    body: NDArray[np.uint8],
    seed: np.uint64,
    per_ms: int,
    ms_per: int,
    now_ms: int,
    rows: Any,
    values: NDArray[np.float64],
    decimals: NDArray[np.int32],
    bad_lines: Any,
) -> tuple[int, int, int, int]:
    """Write all rows; return the numbers of rows, decimals, bad lines and strings.

    decimals: int32 (m, 3), row, start and end of each. Beyond the end of rows it only counts.
    """
    n, n_decimals, n_bad, n_strings = 0, 0, 0, 0
    line, at, end = 1, 0, len(body)
    while at < end:
        byte = body[at]
        if byte in (SPACE, TAB, RETURN):
            at += 1
            continue
        if byte == NEWLINE:
            line += 1
            at += 1
            continue
        if byte == HASH:
            at = end_of_line(body, at, end)
            continue
        start, fault = at, NO_FAULT
        key_end = end_of_name(body, at, end, False)  # noqa: FBT003
        first, first_decimal, strings, n_newlines = n, n_decimals, 0, 0
        if byte == COMMA:
            fault = NO_KEY
        at = skip_spaces(body, key_end, end)
        if fault == NO_FAULT and (at >= end or body[at] in (NEWLINE, RETURN)):
            fault = NO_FIELDS
        key = (seed ^ xxh64(body, start, key_end)) * _ODD
        while fault == NO_FAULT:
            field = at
            field_end = end_of_name(body, at, end, True)  # noqa: FBT003
            if field_end >= end or body[field_end] != EQUALS or field_end == field:
                fault = BAD_FIELD
                break
            at = field_end + 1
            kind, value = NO_VALUE, 0.0
            value_at = at
            if at < end and body[at] == QUOTE:
                at = end_of_string(body, at, end)
                if at < 0:
                    at = value_at
                    fault = OPEN_STRING
                    break
                kind = STRING
                strings += 1
                for i in range(value_at, at):
                    n_newlines += body[i] == NEWLINE
            else:
                at = end_of_value(body, at, end)
                kind = kind_of(body, value_at, at)
                if kind == INTEGER:
                    value, kind = read_integer(body, value_at, at)
            if kind in (NO_VALUE, NO_NUMBER):
                fault = BAD_NUMBER
            elif kind == OUT_OF_RANGE:
                fault = TOO_LARGE
            if fault != NO_FAULT:
                break
            if kind != STRING:
                if n < len(rows):
                    row = rows[n]
                    row.key = avalanche(key ^ xxh64(body, field, field_end)) | np.uint64(1)
                    row.key_start, row.key_end = start, key_end
                    row.field_start, row.field_end = field, field_end
                    row.line = line
                    if kind == FLOAT:
                        decimals[n_decimals, 0] = n
                        decimals[n_decimals, 1], decimals[n_decimals, 2] = value_at, at
                        n_decimals += 1
                    else:
                        values[n] = value if kind == INTEGER else np.float64(kind == TRUE)
                n += 1
            if at >= end or body[at] != COMMA:
                break
            at += 1
        time_ms = now_ms
        if fault == NO_FAULT:
            if at < end and body[at] not in (SPACE, NEWLINE, RETURN):
                fault = BAD_FIELD
            at = skip_spaces(body, at, end)
            time_at = at
            at = end_of_value(body, at, end)
            if fault == NO_FAULT and at > time_at:
                time_ms, is_sound = read_time(body, time_at, at, per_ms, ms_per)
                if not is_sound:
                    fault = BAD_TIME
            while at < end and body[at] in (SPACE, TAB, RETURN):
                at += 1
            if fault == NO_FAULT and at < end and body[at] != NEWLINE:
                fault = BAD_TIME
        if fault != NO_FAULT:
            at = end_of_line(body, at, end)
            if n_bad < len(bad_lines):
                bad = bad_lines[n_bad]
                bad.line, bad.start, bad.end, bad.fault = line, start, at, fault
            n_bad += 1
            n, n_decimals = first, first_decimal
        else:
            for i in range(first, min(n, len(rows))):
                rows[i].time_ms = time_ms
            n_strings += strings
        line += n_newlines
    return n, n_decimals, n_bad, n_strings

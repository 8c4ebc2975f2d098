"""Timestamps of JSON points: which unit a number is in, and ms since 1970 of it."""

from datetime import UTC, datetime, timedelta
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
# The size of a number tells its unit: of times from 1973 to 5138 each is a thousand times the next.
_LEAST_MS, _LEAST_US, _LEAST_NS, _TOO_LARGE = 10**11, 10**14, 10**17, 10**20

UNITS_BY_SIZE = "seconds, milliseconds, microseconds or nanoseconds, as their size tells"
EXPECTED_TIME = (
    "a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or RFC 3339 "
    'such as "2026-01-31T12:00:00Z", is expected'
)


class Unit(IntEnum):
    """What a number of a timestamp counts; NONE for one too large to be a time."""

    SECONDS = 0
    MILLISECONDS = 1
    MICROSECONDS = 2
    NANOSECONDS = 3
    NONE = 4


def read_integers(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return ms since 1970 and the Unit of each number, shape (n,); parts of a ms are cut off."""
    # The least int64 has no absolute value, and is as large as its neighbour.
    units = _units_of(np.abs(np.maximum(numbers, np.iinfo(np.int64).min + 1)))
    if (units == Unit.MILLISECONDS).all():
        return numbers, units
    seconds = np.where(units == Unit.SECONDS, numbers, 0)
    times_ms = np.where(units == Unit.SECONDS, seconds * 1000, numbers)
    for unit, factor in ((Unit.MICROSECONDS, 10**3), (Unit.NANOSECONDS, 10**6)):
        times_ms = np.where(units == unit, numbers // factor, times_ms)
    return times_ms, units


def read_decimals(numbers: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the same of numbers with a fraction or an exponent; times of Unit.NONE are 0."""
    units = _units_of(np.abs(numbers))
    factors = np.array([1e6, 1e3, 1.0, 1e-3, 0.0])[units]
    # To the nearest microsecond first: 1700000000.123 has no binary fraction of its own.
    micros = np.rint(np.where(units == Unit.NONE, 0.0, numbers) * factors)
    return np.floor(micros / 1000).astype(np.int64), units


def read_time(time: int | float | str, now_ms: int) -> tuple[int, Unit]:
    """Return the same of one timestamp as a parser gives it; a text is in milliseconds."""
    if isinstance(time, str):
        try:
            moment = datetime.fromisoformat(time.upper())
        except ValueError:
            return now_ms, Unit.NONE
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MS, Unit.MILLISECONDS
    if isinstance(time, int) and abs(time) > 2**64:
        return now_ms, Unit.NONE  # perhaps beyond all floats, too
    if isinstance(time, int) and abs(time) < 2**63:
        times_ms, units = read_integers(np.array([time], dtype=np.int64))
    else:
        times_ms, units = read_decimals(np.array([time], dtype=np.float64))
    return int(times_ms[0]), Unit(units[0])


def _units_of(sizes: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.uint8]:
    units: NDArray[np.uint8] = np.searchsorted(
        np.array([_LEAST_MS, _LEAST_US, _LEAST_NS, _TOO_LARGE], dtype=np.float64), sizes, "right"
    ).astype(np.uint8)
    return units

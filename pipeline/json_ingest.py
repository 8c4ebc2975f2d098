"""JSON ingest: from a body of points to columns, by typed structs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason, Rejection
from pipeline.errors import MalformedBody

EXPECTED = (
    '{"metrics": [{"name": "cpu", "value": 1.5, "timestamp"?: ms, "labels"?: {"host": "a"}}]}'
)

_INT64 = np.iinfo(np.int64)

# What msgspec raises for text that is not the JSON it was asked for.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Point(msgspec.Struct):
    """One point as sent. `timestamp`: ms since the epoch or RFC 3339; labels stay undecoded."""

    name: str
    value: float
    timestamp: int | float | str | None = None
    labels: msgspec.Raw = msgspec.Raw(b"")
    tags: msgspec.Raw = msgspec.Raw(b"")
    type: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    unit: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class _Body(msgspec.Struct):
    metrics: list[Point]


class _LooseBody(msgspec.Struct):
    metrics: list[msgspec.Raw]


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_loosely = msgspec.json.Decoder(_LooseBody).decode
_decode_point = msgspec.json.Decoder(Point).decode


@dataclass(slots=True)
class PointBatch:
    """The points of a body that can be read, and rejections for the others.

    points: n structs, for their names and labels. indexes: place of each in the body.
    times_ms: int64 (n,). values: float64 (n,).
    """

    points: list[Point]
    indexes: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    rejections: list[Rejection]


def decode_points(body: bytes | memoryview, now_ms: int) -> PointBatch:
    """Decode a JSON body; a point without timestamp gets now_ms.

    Raises MalformedBody where the body as a whole is not JSON of the expected form.
    """
    rejections: list[Rejection] = []
    try:
        points = _decode_body(body).metrics
        indexes = list(range(len(points)))
    except _UNREADABLE:
        points, indexes, rejections = _decode_one_by_one(body)
    times = [point.timestamp for point in points]
    if any(type(time) is not int for time in times):
        times = [_read_time(time, now_ms) for time in times]
        refused = [at for at, time in enumerate(times) if time is None]
        rejections += [_refuse_time(indexes[at], points[at]) for at in refused]
        points, indexes, times = _without(set(refused), points, indexes, times)
    clipped = [min(max(time, _INT64.min), _INT64.max) for time in times]  # type: ignore[type-var]
    return PointBatch(
        points,
        np.array(indexes, dtype=np.int64),
        np.array(clipped, dtype=np.int64),
        np.array([point.value for point in points], dtype=np.float64),
        rejections,
    )


def _without(drop: set[int], *columns: list) -> list[list]:  # type: ignore[type-arg]
    if not drop:
        return list(columns)
    return [[item for at, item in enumerate(column) if at not in drop] for column in columns]


def _decode_one_by_one(body: bytes | memoryview) -> tuple[list[Point], list[int], list[Rejection]]:
    """Decode point by point, so that one bad point does not take the others along."""
    try:
        raws = _decode_loosely(body).metrics
    except _UNREADABLE as error:
        raise MalformedBody(f"{error}; expected {EXPECTED}") from None
    points, indexes, rejections = [], [], []
    for index, raw in enumerate(raws):
        try:
            points.append(_decode_point(raw))
            indexes.append(index)
        except _UNREADABLE as error:
            rejections.append(Rejection(index, _reason_of(str(error)), str(error)))
    return points, indexes, rejections


def _reason_of(message: str) -> Reason:
    if "`$.value`" in message or "field `value`" in message or "out of range" in message:
        return Reason.NOT_A_NUMBER
    if "`$.name`" in message or "field `name`" in message:
        return Reason.BAD_NAME
    return Reason.BAD_TIMESTAMP if "`$.timestamp`" in message else Reason.BAD_SAMPLE


def _read_time(time: int | float | str | None, now_ms: int) -> int | None:
    """Return ms since the epoch, or None for what is no time."""
    if time is None:
        return now_ms
    if isinstance(time, str):
        try:
            moment = datetime.fromisoformat(time)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    return int(time)


def _refuse_time(index: int, point: Point) -> Rejection:
    return Rejection(
        index,
        Reason.BAD_TIMESTAMP,
        f"timestamp {point.timestamp!r}: milliseconds since 1970 as a number, or RFC 3339 "
        'such as "2026-01-31T12:00:00Z"',
    )

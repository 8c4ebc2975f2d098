"""JSON ingest: from a body of points to columns with series ids."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Reason
from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of
from pipeline.json_body import Points, find_lines, find_points, take_points
from pipeline.json_points import (
    UNREADABLE,
    Point,
    decode_point,
    explain,
    find_point_fault,
    find_twice,
    labels_of_point,
    split_points,
)
from pipeline.json_times import EXPECTED_TIME, UNITS_BY_SIZE, Unit, read_time
from pipeline.json_walk import count_metrics
from pipeline.key_ids import KeyIds
from pipeline.refusals import Refusals, refuse_times


@dataclass(frozen=True, slots=True)
class JsonBatch:
    """The points of a body, in its order.

    ids: uint64 (n,), 0 for a point that is refused. keys: uint64 (n,), the id mixed with type and
    unit, for KnownSeries. times_ms: int64 (n,). values: float64 (n,). point_of: parses a point.
    """

    ids: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    point_of: Callable[[int], Point]
    refusals: Refusals


@dataclass(slots=True)
class _Columns:
    """Columns of the points while they are read; ids are 0 where not known or refused."""

    ids: NDArray[np.uint64]
    metadata: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    units: NDArray[np.uint8]
    values: NDArray[np.float64]
    refusals: Refusals


class _NotJson(Exception):
    """The compiled pass has passed over what a whole parser takes for no JSON."""


class JsonReader:
    """Reads bodies of points; remembers ids by the texts of names and labels."""

    def __init__(self, max_series: int, max_refusals: int) -> None:
        self._max_refusals = max_refusals
        self._known = KeyIds(max_series)

    def n_bytes(self) -> int:
        """Return the memory of the ids."""
        return self._known.n_bytes()

    def read(
        self,
        body: NDArray[np.uint8],
        seed: np.uint64,
        now_ms: int,
        limits: Limits,
        *,
        are_lines: bool = False,
    ) -> JsonBatch:
        """Read a body, uint8 (n,); a point without timestamp gets now_ms.

        seed: as of hashing.tenant_hash. are_lines: each line is a point; found out where the
        sender does not say it.
        Raises MalformedBody where the body as a whole is not JSON of the expected form.
        """
        points = find_lines(body, seed) if are_lines else find_points(body, seed)
        if points is not None:
            try:
                return self._resolve(points, seed, now_ms, limits)
            except _NotJson:
                pass
        if count_metrics(body, 0) > 1:
            raise MalformedBody('"metrics" stands twice: one list of points is expected')
        texts = split_points(body.data)
        points = find_lines(body, seed) if texts is None else take_points(body, texts)
        return self._resolve(points, seed, now_ms, limits)

    def _resolve(self, points: Points, seed: np.uint64, now_ms: int, limits: Limits) -> JsonBatch:
        """Make columns of the points. Raises _NotJson."""
        values = points.values()
        times_ms, units = points.times(now_ms)
        keys = points.keys()
        ids = self._known.find(keys, seed)
        refusals = Refusals(self._max_refusals)
        columns = _Columns(ids, points.found["metadata"].copy(), times_ms, units, values, refusals)
        unknown = np.flatnonzero(ids == 0)
        if len(unknown):
            _Meeting(points, columns, seed, now_ms, limits).meet(unknown)
            new = keys[unknown]
            is_met = (new != 0) & (ids[unknown] != 0)
            self._known.add(new[is_met], ids[unknown][is_met], seed)
        _refuse_times(points, columns, now_ms, limits)
        return JsonBatch(
            ids,
            ids ^ columns.metadata,
            times_ms,
            values,
            lambda at: decode_point(points.text(at)),
            refusals,
        )


@dataclass(slots=True)
class _Meeting:
    """Meets the points that the cache does not know, with a whole parser."""

    points: Points
    columns: _Columns
    seed: np.uint64
    now_ms: int
    limits: Limits
    # By key: the id, or why the series is refused.
    _seen: dict[int, int | tuple[Reason, str]] = field(default_factory=dict)

    def meet(self, unknown: NDArray[np.int64]) -> None:
        """Fill in the ids of points, and all columns of odd ones; refuse those that are bad."""
        odd = self.points.found["is_odd"][unknown].tolist()
        keys = self.points.found["key"][unknown].tolist()
        for at, is_odd, key in zip(unknown.tolist(), odd, keys, strict=True):
            found = None if is_odd else self._seen.get(key)
            if found is None:
                found = self._parse(at, is_odd=bool(is_odd))
                if not is_odd:
                    self._seen[key] = found
            if isinstance(found, int):
                self.columns.ids[at] = found
            else:
                self.columns.refusals.add(at, *found)

    def _parse(self, at: int, *, is_odd: bool) -> int | tuple[Reason, str]:
        text = self.points.text(at)
        try:
            point = decode_point(text)
        except UNREADABLE as error:
            is_json = isinstance(error, msgspec.ValidationError | UnicodeDecodeError)
            if not is_json and not self.points.are_lines and self.points.texts is None:
                raise _NotJson from None
            return explain(error)
        fault = find_point_fault(point, self.limits) or find_twice(text)
        if fault is not None:
            return fault
        if is_odd:
            self._fill(at, point)
        return series_id_of(self.seed, labels_of_point(point))

    def _fill(self, at: int, point: Point) -> None:
        columns = self.columns
        columns.values[at] = point.value
        columns.times_ms[at], columns.units[at] = self.now_ms, Unit.MILLISECONDS
        if point.timestamp is not None:
            columns.times_ms[at], columns.units[at] = read_time(point.timestamp, self.now_ms)
        columns.metadata[at] = 0
        if point.type or point.unit:
            metadata = {"type": point.type or "", "unit": point.unit or ""}
            columns.metadata[at] = series_id_of(np.uint64(0), metadata)


def _refuse_times(points: Points, columns: _Columns, now_ms: int, limits: Limits) -> None:
    """Refuse what is no time, or out of bounds."""
    is_known = columns.ids != 0
    no_times = np.flatnonzero((columns.units == Unit.NONE) & is_known)
    columns.refusals.add_many(
        no_times,
        Reason.BAD_TIMESTAMP,
        lambda k: f"timestamp {points.time_text(int(no_times[k]))}: {EXPECTED_TIME}",
    )
    columns.ids[no_times] = 0

    def name_of(at: int) -> str:
        unit = Unit(columns.units[at])
        if unit == Unit.MILLISECONDS:
            return ""
        return f"timestamp {points.time_text(at)}, read as {unit.name.lower()}: "

    # Those that are refused already are not refused twice.
    times_ms = np.where(columns.ids != 0, columns.times_ms, now_ms)
    good = refuse_times(times_ms, now_ms, limits, columns.refusals, name_of, UNITS_BY_SIZE)
    columns.ids[~good] = 0

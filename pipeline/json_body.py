"""A body of JSON points after the compiled pass: where each point stands, values and times."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.json_points import Buffer, decode_point
from pipeline.json_times import Unit, read_decimals, read_integers
from pipeline.json_walk import (
    DECIMAL,
    DONE,
    INTEGER,
    NO_TIME,
    NOT_UNDERSTOOD,
    POINT,
    walk_lines,
    walk_list,
)
from pipeline.numbers import parse_numbers

_BYTES_A_POINT = 64
_HEAD = re.compile(rb'[ \t\r\n]*(\{[ \t\r\n]*"metrics"[ \t\r\n]*:[ \t\r\n]*)?\[')
_REST_OF_LIST = re.compile(rb"[ \t\r\n]*")
_REST_OF_OBJECT = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*")

_Kernel = Callable[..., tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Points:
    """Points of a body, of type POINT, shape (n,).

    texts: that of each point where the compiled pass has not found them. are_lines: each is one.
    """

    body: NDArray[np.uint8]
    found: NDArray[np.void]
    texts: Sequence[Buffer] | None = None
    are_lines: bool = False

    def __len__(self) -> int:
        return len(self.found)

    def text(self, at: int) -> Buffer:
        """Return the text of a point."""
        if self.texts is not None:
            return self.texts[at]
        point = self.found[at]
        return self.body[point["start"] : point["end"]].data

    def time_text(self, at: int) -> str:
        """Return the timestamp of a point as it was sent."""
        point = self.found[at]
        if point["is_odd"]:
            return repr(decode_point(self.text(at)).timestamp)
        return self.body[point["time_start"] : point["time_end"]].tobytes().decode()

    def keys(self) -> NDArray[np.uint64]:
        """Return the keys of the points, shape (n,), 0 for odd ones."""
        return np.where(self.found["is_odd"] == 0, self.found["key"], np.uint64(0))

    def values(self) -> NDArray[np.float64]:
        """Return the values, shape (n,); of points that are odd, and of too large ones, 0.

        The latter are odd from then on: a whole parser words what is wrong with them.
        """
        values = np.zeros(len(self), dtype=np.float64)
        usual = np.flatnonzero(self.found["is_odd"] == 0)
        values[usual] = self._numbers(usual, "value")
        too_large = np.isinf(values)
        if too_large.any():
            self.found["is_odd"][too_large] = 1
            values[too_large] = 0
        return values

    def times(self, now_ms: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return ms since 1970, now_ms where a point has no time, and the Unit it was sent in.

        Both shape (n,); those of odd points are not looked at.
        """
        kinds, times_ms = self.found["time_kind"], self.found["time"].copy()
        units = np.full(len(self), Unit.MILLISECONDS, dtype=np.uint8)
        if (kinds == INTEGER).all():
            return read_integers(times_ms)
        times_ms[kinds == NO_TIME] = now_ms
        for kind, read in ((INTEGER, self._integers), (DECIMAL, self._decimals)):
            chosen = np.flatnonzero((kinds == kind) & (self.found["is_odd"] == 0))
            if len(chosen):
                times_ms[chosen], units[chosen] = read(chosen)
        return times_ms, units

    def _integers(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        return read_integers(self.found["time"][chosen])

    def _decimals(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        return read_decimals(self._numbers(chosen, "time"))

    def _numbers(self, chosen: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        columns = (self.found[f"{name}_start"][chosen], self.found[f"{name}_end"][chosen])
        return parse_numbers(self.body, np.column_stack(columns))


def find_points(body: NDArray[np.uint8], seed: np.uint64) -> Points | None:
    """Return the points of a list or of `{"metrics": [...]}`; None for what is not understood."""
    head = _HEAD.match(body.data)
    if head is None:
        return None
    points, at = _walk(walk_list, body, head.end(), seed)
    rest = _REST_OF_LIST if head[1] is None else _REST_OF_OBJECT
    if points is None or not rest.fullmatch(body.data, at):
        return None
    return Points(body, points)


def find_lines(body: NDArray[np.uint8], seed: np.uint64) -> Points:
    """Return the points of a body that has one on each line."""
    points, _ = _walk(walk_lines, body, 0, seed)
    assert points is not None
    return Points(body, points, are_lines=True)


def take_points(body: NDArray[np.uint8], texts: Sequence[Buffer]) -> Points:
    """Return points that a whole parser has found, all of them odd."""
    points = np.zeros(len(texts), dtype=POINT)
    points["is_odd"] = 1
    return Points(body, points, texts)


def _walk(
    kernel: _Kernel, body: NDArray[np.uint8], at: int, seed: np.uint64
) -> tuple[NDArray[Any] | None, int]:
    """Return the points, and the position after the last; grows while they do not fit."""
    points, n = np.zeros(len(body) // _BYTES_A_POINT + 16, dtype=POINT), 0
    while True:
        status, at, n = kernel(body, at, seed, points, n)
        if status == DONE:
            return points[:n], at
        if status == NOT_UNDERSTOOD:
            return None, at
        points = np.concatenate((points, np.zeros_like(points)))

"""A picture for a terminal: value in its band over time, and scores below."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Characters of a picture."""

    band: str
    value: str
    alarm: str
    levels: str  # of a score, from none to twice the threshold
    axis: str


FINE = Glyphs("░", "●", "◆", _EIGHTHS, "┤")
PLAIN = Glyphs(".", "o", "X", " .:|!", "|")


@dataclass(frozen=True, slots=True)
class Track:
    """One series: shape (n,) each, in order of time; lower and upper may be NaN."""

    values: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    scores: NDArray[np.float32]
    alarms: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Scale:
    """The range of values that so many lines show."""

    low: float
    high: float
    height: int

    def line_of(self, value: float) -> int:
        """Return the line, from the top, of a value; what is out of range is at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.height - 1 - round(share * (self.height - 1))


def draw(track: Track, width: int, height: int, glyphs: Glyphs) -> list[str]:
    """Return the lines of a picture of at most width columns, the score's line last.

    Several windows share a column: of values the least and the largest are shown, of bands the
    middle one, of scores the largest. Windows whose value is no number leave a gap.
    """
    n = len(track.values)
    shown = track.values[np.isfinite(track.values)]
    if not len(shown):
        return []
    columns = np.array_split(np.arange(n), min(width, n))
    scale = _scale(float(shown.min()), float(shown.max()), height)
    grid = np.full((height, len(columns)), " ")
    for at, rows in enumerate(columns):
        _fill(grid[:, at], track, rows, scale, glyphs)
    labels = [f"{scale.high:.4g}", *[""] * (height - 2), f"{scale.low:.4g}"]
    lines = [_line(label, row, glyphs) for label, row in zip(labels, grid, strict=True)]
    top = len(glyphs.levels) - 1
    levels = [min(round(float(track.scores[rows].max()) / 2 * top), top) for rows in columns]
    return [*lines, _line("score", [glyphs.levels[level] for level in levels], glyphs)]


def _scale(low: float, high: float, height: int) -> _Scale:
    margin = 0.05 * ((high - low) or abs(high) or 1.0)
    return _Scale(low - margin, high + margin, height)


def _line(label: str, cells: Iterable[str], glyphs: Glyphs) -> str:
    return f"{label:>{_LABEL_WIDTH}} {glyphs.axis}{''.join(cells)}"


def _fill(
    cells: NDArray[np.str_], track: Track, rows: NDArray[np.intp], scale: _Scale, glyphs: Glyphs
) -> None:
    """Fill one column, top first."""
    middle = rows[len(rows) // 2]
    if np.isfinite(track.lower[middle]):
        first, last = scale.line_of(track.upper[middle]), scale.line_of(track.lower[middle])
        cells[first : last + 1] = glyphs.band
    values = track.values[rows]
    values = values[np.isfinite(values)]
    if len(values):
        cells[scale.line_of(values.max()) : scale.line_of(values.min()) + 1] = glyphs.value
    alarmed = rows[track.alarms[rows] > 1]
    if len(alarmed):
        cells[scale.line_of(track.values[alarmed[-1]])] = glyphs.alarm

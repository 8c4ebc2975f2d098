"""A small chart for a terminal: columns over time, with marked stretches below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:#"


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of columns, first through last, shown by one letter."""

    letter: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Chart:
    """The lines of a chart, top first; `marks` is the line under them."""

    lines: list[str]
    axis: str
    marks: str


def draw(values: Sequence[float], marks: Sequence[Mark], height: int, *, plain: bool) -> Chart:
    """Draw one column a value, from 0 to the largest; NaN leaves a gap.

    plain: ASCII only, for terminals that cannot show block characters.
    """
    top = max((value for value in values if not math.isnan(value)), default=0.0) or 1.0
    shades = _PLAIN if plain else _EIGHTHS
    steps = len(shades) - 1
    filled = [0 if math.isnan(one) else _filled(one / top, height * steps) for one in values]
    lines = []
    for row in range(height - 1, -1, -1):
        label = f"{top:>8.4g}" if row == height - 1 else " " * 8
        columns = (shades[min(max(column - row * steps, 0), steps)] for column in filled)
        lines.append(f"{label} {'|' if plain else '┤'}{''.join(columns)}")
    axis = f"{0:>8} {'+' if plain else '└'}{('-' if plain else '─') * len(values)}"
    return Chart(lines, axis, " " * 10 + _mark_line(marks, len(values)))


def squeeze(values: Sequence[float], width: int) -> list[float]:
    """Return at most width values, each the mean of as many neighbours, NaN left out."""
    share = math.ceil(len(values) / width)
    return [_mean(values[at : at + share]) for at in range(0, len(values), share)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _filled(share: float, steps: int) -> int:
    # What is not nothing shows, however small.
    return max(round(share * steps), 1 if share > 0 else 0)


def _mark_line(marks: Sequence[Mark], width: int) -> str:
    letters = [" "] * width
    for mark in marks:
        for column in range(max(mark.first, 0), min(mark.last, width - 1) + 1):
            letters[column] = mark.letter
    return "".join(letters)

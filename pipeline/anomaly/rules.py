"""Rules: which deviations of a series count, and how much it has to be known."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Direction(IntFlag):
    """On which side of the expected value a window can be anomalous."""

    ABOVE = 1
    BELOW = 2
    BOTH = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """Policies of some series.

    least_absolute: a value no further from the expected one is never anomalous, in the series'
    unit. least_relative: likewise, as a share of the expected value. least_windows: windows
    before the first score, at least the model's own. least_s: likewise in event time.
    sensitivity: what scores are multiplied with. stopped: whether a series that usually moves is
    anomalous when it has stopped; direction, least deviations and sensitivity do not concern that.
    """

    direction: Direction = Direction.BOTH
    least_absolute: float = 0.0
    least_relative: float = 0.0
    least_windows: int = 0
    least_s: float = 0.0
    sensitivity: float = 1.0
    stopped: bool = True

    def __post_init__(self) -> None:
        for name in ("least_absolute", "least_relative", "least_windows", "least_s"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"{name}={value}: must be finite and >= 0")
        if not 0 < self.sensitivity < np.inf:
            raise ValueError(f"sensitivity={self.sensitivity}: must be finite and > 0")
        if self.direction not in {Direction.ABOVE, Direction.BELOW, Direction.BOTH}:
            raise ValueError(f"direction={self.direction!r}: must be ABOVE, BELOW or BOTH")


RULE = np.dtype(
    [
        ("direction", "<i4"),
        ("least_windows", "<i4"),
        ("stopped", "<i4"),
        ("least_absolute", "<f8"),
        ("least_relative", "<f8"),
        ("least_s", "<f8"),
        ("sensitivity", "<f8"),
    ],
    align=True,
)

# One element of a table of rules inside compiled code.
RuleRow = Any


def table_of(rules: Sequence[Rule]) -> NDArray[np.void]:
    """Return rules as an array, of type RULE."""
    table = np.zeros(len(rules), dtype=RULE)
    for name in table.dtype.names or ():
        table[name] = [getattr(rule, name) for rule in rules]
    return table

"""What the anomaly engine says of windows, as columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scores:
    """One row a window, in the order given, shape (n,) each.

    score: how anomalous the window is by itself, 0 to 1 normal, above 1 anomalous. alarm: the
    same after the refractory, 0 where an alarm as high was given within it. expected: the usual
    value; lower, upper: the band outside of which a value is far from usual. All three are NaN
    for a series' first window and where the value is not finite. reason: a code of
    `pipeline.anomaly.reasons`. learning_s: event time until the first score, 0 when learned,
    inf for a series' first window.
    """

    score: NDArray[np.float32]
    alarm: NDArray[np.float32]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    reason: NDArray[np.uint8]
    learning_s: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

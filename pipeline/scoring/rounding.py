"""Drops digits of scores that tell nothing: so a stored row takes 4 bytes where it took 18."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.scores import Scores

# Steps over the width of the band, and of a score that is far from anomalous.
_BAND_BITS, _SCORE_STEPS = 8, 256
_LOW_SCORE = 0.5


def rounded(scores: Scores) -> Scores:
    """Round expected value and band to a 256th of the band, and low scores to a 256th.

    A score from 0.5 on, and an alarm, keeps all digits.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        width = scores.upper - scores.lower
        # A power of two, so that a rounded number has few bits that are not zero.
        _, exponents = np.frexp(width)
        has_width = np.isfinite(width) & (width > 0)
    return replace(
        scores,
        expected=_to_step(scores.expected, exponents, has_width),
        lower=_to_step(scores.lower, exponents, has_width),
        upper=_to_step(scores.upper, exponents, has_width),
        score=np.where(scores.score < _LOW_SCORE, _low(scores.score), scores.score),
    )


def short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to the precision of 32 bits, seven digits, where they reach so far."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(found), found, values)


def _to_step(
    values: NDArray[np.float64], exponents: NDArray[np.int32], has_width: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Round to multiples of 2**(exponents - _BAND_BITS) where that is a double."""
    shift = _BAND_BITS - exponents
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = np.ldexp(np.rint(np.ldexp(values, shift)), -shift)
    return np.where(has_width & np.isfinite(found), found, values)


def _low(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.float32(_SCORE_STEPS)
    found: NDArray[np.float32] = np.rint(scores * steps) / steps
    return found

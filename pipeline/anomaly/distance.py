"""How far a window is from its level and from its hour's mean, in units of what is usual, compiled.

As a difference, and where a series is never below zero a fall as a ratio, too: a rate that drops
from 100 to 5 is as far away as one that rises from 5 to 100, though its spread may be 50.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from pipeline.anomaly.parameters import Parameters
from pipeline.anomaly.state import Model

# What 32 bits may leave of a difference that is 0, as a share of the values.
_ROUNDING = 1e-6
_TINY_RATIO = 1e-9


class Away(NamedTuple):
    """Distances from level and hour's mean: differences, and falls from them to the value.

    A fall is the difference by the sum, (base - x) / (base + x): 1 for one to zero, below 0 for a
    rise, and 0 where the base or the series' range reaches below zero.
    """

    level: float
    season: float
    fall_level: float
    fall_season: float


@njit(inline="always")
def tiny_of(level: float) -> float:
    """Return what counts as no difference at this level."""
    return 1e-9 * abs(level) + 1e-12


@njit(inline="always")
def away_of(model: Model, x: float, day: float) -> Any:
    """Return the distances of a value from the level and from its hour's mean."""
    return Away(
        x - model.level,
        x - day,
        _fall_of(model, x, model.level),
        _fall_of(model, x, day),
    )


@njit(inline="always")
def far_of(model: Model, away: Any, tiny: float) -> Any:
    """Return how far that is in units of what is usual, from what is nearer."""
    level, season, fall_level, fall_season = away
    difference = min(abs(level) / (model.spread + tiny), abs(season) / (model.season_spread + tiny))
    ratio = min(
        fall_level / (model.fall_spread + _TINY_RATIO),
        fall_season / (model.fall_season_spread + _TINY_RATIO),
    )
    return max(difference, ratio)


@njit(inline="always")
def band_of(model: Model, day: float, tiny: float, constants: Parameters) -> Any:
    """Return the lowest and the highest value that are not far, as distances from the origin.

    Far enough is what needs no more than a capped novelty beside it to be anomalous.
    """
    far = constants.level_unit * np.sqrt(max(1.0 - constants.fast_cap**2, 0.0))
    level, season = far * (model.spread + tiny), far * (model.season_spread + tiny)
    upper = max(model.level + level, day + season)
    fallen = min(
        _fallen(model, model.level, far * (model.fall_spread + _TINY_RATIO)),
        _fallen(model, day, far * (model.fall_season_spread + _TINY_RATIO)),
    )
    return max(min(model.level - level, day - season), fallen), upper


@njit(inline="always")
def learn_spreads(model: Model, away: Any, rate: float) -> None:
    """Move the mean distances towards those of a value."""
    level, season, fall_level, fall_season = away
    model.spread += rate * (abs(level) - model.spread)
    if model.n > 0:
        model.season_spread += rate * (abs(season) - model.season_spread)
        model.fall_spread += rate * (abs(fall_level) - model.fall_spread)
        model.fall_season_spread += rate * (abs(fall_season) - model.fall_season_spread)


@njit(inline="always")
def _usual_of(model: Model, base: float) -> Any:
    """Return a base as a value; 0 where there are no ratios: it or the range reaches below zero."""
    usual = base + model.origin
    is_positive = usual > 0.0 and model.low + model.origin >= -_ROUNDING * abs(model.origin)
    return usual if is_positive else 0.0


@njit(inline="always")
def _fall_of(model: Model, x: float, base: float) -> Any:
    usual, value = _usual_of(model, base), max(x + model.origin, 0.0)
    return (usual - value) / (usual + value) if usual > 0.0 else 0.0


@njit(inline="always")
def _fallen(model: Model, base: float, fall: float) -> Any:
    """Return the value of which a base is so far a fall, -inf where there are no ratios."""
    usual = _usual_of(model, base)
    if usual == 0.0:
        return -np.inf
    return usual * max(1.0 - fall, 0.0) / (1.0 + fall) - model.origin

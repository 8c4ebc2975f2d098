"""Where constants of the model are looked for: a range each, wide around what theory says."""

import numpy as np

from pipeline.anomaly.parameters import Parameters

RANGES: dict[str, tuple[float, float]] = {
    "level_windows": (100, 1000),
    "drift_windows": (700, 5000),
    "leak": (3e-5, 4e-4),
    "radius": (0.03, 0.2),
    "bin_windows": (6, 24),
    "level_unit": (4, 14),
    "pair_unit": (0.07, 0.6),
    "fast_cap": (0.75, 0.99),
    "coarse": (0.03, 0.4),
    "bin_unit": (0.04, 0.3),
    "drift_unit": (4, 20),
    "slow_cap": (0.75, 0.99),
    "smooth_s": (7200, 60_000),
    "hour_rate": (0.03, 0.3),
}
_WHOLE = ("bin_windows",)


def draw(rng: np.random.Generator, base: Parameters) -> Parameters:
    """Return a random set, uniform in the logarithm of each range; the rest is as in base."""
    found = {
        name: float(np.exp(rng.uniform(np.log(low), np.log(high))))
        for name, (low, high) in RANGES.items()
    }
    return whole(base._replace(**found))


def whole(constants: Parameters) -> Parameters:
    """Round what counts windows."""
    return constants._replace(**{name: float(round(getattr(constants, name))) for name in _WHOLE})

"""Where constants of the model are looked for: a range each, wide around what theory says."""

import numpy as np

from pipeline.anomaly.parameters import Parameters

RANGES: dict[str, tuple[float, float]] = {
    "level_windows": (100, 1000),
    "drift_windows": (700, 5000),
    "leak": (2e-5, 5e-4),
    "radius": (0.03, 0.2),
    "learning": (0.02, 0.2),
    "young": (2, 15),
    "bin_windows": (6, 24),
    "level_unit": (3, 10),
    "pair_unit": (0.05, 0.4),
    "fast_cap": (1.02, 1.6),
    "fast_threshold": (1.3, 2.6),
    "gate": (0.002, 0.05),
    "coarse": (0.02, 0.4),
    "fall": (0.5, 1.2),
    "bin_unit": (0.02, 0.15),
    "drift_unit": (2, 10),
    "slow_cap": (1.1, 2.5),
    "slow_threshold": (2.0, 7.0),
    "smooth_s": (7200, 60_000),
    "hour_rate": (0.03, 0.3),
}
_WHOLE = ("bin_windows", "young")


def draw(
    rng: np.random.Generator, centre: Parameters | None = None, spread: float = 1.0
) -> Parameters:
    """Return a random set, uniform in the logarithm of each range.

    centre: ranges are shrunk to `spread` of theirs around it.
    """
    found = {}
    for name, (low, high) in RANGES.items():
        if centre is None:
            value = np.exp(rng.uniform(np.log(low), np.log(high)))
        else:
            half = spread * (np.log(high) - np.log(low)) / 2
            value = getattr(centre, name) * np.exp(rng.uniform(-half, half))
            value = min(max(value, low), high)
        found[name] = float(round(value) if name in _WHOLE else value)
    return (centre or Parameters())._replace(**found)

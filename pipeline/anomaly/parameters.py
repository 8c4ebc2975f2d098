"""The constants of the anomaly model: one set for every series, chosen by `ops.bench.anomaly`."""

from typing import NamedTuple

N_PAIRS = 32
N_BINS = 16


class Parameters(NamedTuple):
    """Constants of the model; a window is one closed window of a series.

    Names of the channels: docs/anomaly.md.
    """

    warm: float = 150.0  # windows before the first score
    level_windows: float = 300.0
    drift_windows: float = 2000.0
    leak: float = 1e-4  # of the range, a window
    radius: float = 0.08  # of a prototype, as a share of twice the range
    learning: float = 0.05  # of a prototype
    young: float = 6.0  # windows in which a new pair does not make itself usual
    bin_windows: float = 12.0
    level_unit: float = 5.25
    pair_unit: float = 0.16
    fast_cap: float = 1.3
    fast_threshold: float = 1.87
    gate: float = 0.01
    coarse: float = 0.15
    fall: float = 0.8
    bin_unit: float = 0.06
    drift_unit: float = 5.0
    slow_cap: float = 1.9
    slow_threshold: float = 4.05
    smooth_s: float = 21_600.0
    hour_rate: float = 0.1
    visits: float = 3.0
    refractory_s: float = 28_800.0


SHIPPED = Parameters()

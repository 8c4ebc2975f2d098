"""The constants of the anomaly model: one set for every series, chosen by `ops.bench.anomaly`."""

from typing import NamedTuple

N_PAIRS = 24
N_BINS = 12


class Parameters(NamedTuple):
    """Constants of the model; a window is one closed window of a series.

    Names of the channels: docs/anomaly.md.
    """

    warm: float = 150.0  # windows before the first score
    level_windows: float = 310.0
    drift_windows: float = 2150.0
    leak: float = 1.25e-4  # of the range, a window
    radius: float = 0.088  # of a prototype, as a share of twice the range
    learning: float = 0.05  # of a prototype
    young: float = 6.0  # windows in which a new pair does not make itself usual
    bin_windows: float = 11.0
    level_unit: float = 7.2
    pair_unit: float = 0.24
    fast_cap: float = 0.86
    gate: float = 0.01
    coarse: float = 0.175
    fall: float = 0.8
    bin_unit: float = 0.08
    drift_unit: float = 6.2
    slow_cap: float = 0.855
    smooth_s: float = 16_000.0
    hour_rate: float = 0.092
    visits: float = 3.0
    stop_factor: float = 10.0  # of the longest run of equal windows
    stop_least: float = 30.0  # windows
    reach: float = 4.0  # out of the range, in widths of it, within which a value is learned
    settled: float = 20.0  # windows after which there is a range
    refractory_s: float = 28_800.0
    escalation: float = 1.2  # of an alarm to the one before, within the refractory
    farther: float = 4.0  # or of its distance to that one's


SHIPPED = Parameters()

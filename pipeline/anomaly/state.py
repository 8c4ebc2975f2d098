"""What the anomaly engine remembers of one series: a record of one array, all zero when new."""

from typing import Any

import numpy as np

from pipeline.anomaly.parameters import N_BINS, N_PAIRS

# One element of an array of the type below; inside compiled code its fields are attributes.
Model = Any

HOURS = 24
KINDS = 48  # hours of working days, then those of weekends
# Numbers of windows and bins are compared in so many bits.
LOW_BITS = 0xFFFF

# Values are kept as distances from `origin`, the series' first value, so that 32 bits are enough
# for a series that moves little far from zero.
MODEL = np.dtype(
    [
        ("origin", "<f8"),
        ("time_s", "<f8"),  # of the last window
        ("born_s", "<f8"),  # of the first
        ("alarm_s", "<f8"),  # of the last alarm
        ("n", "<i4"),  # windows seen
        ("rule", "<i4"),
        ("peak", "<f4"),  # of the alarms within the refractory
        ("alarm_far", "<f4"),  # distance from what was expected at the last alarm
        ("step_s", "<f4"),  # usual time between two windows
        ("last", "<f4"),
        ("level", "<f4"),
        ("spread", "<f4"),
        ("season_spread", "<f4"),
        ("fall_spread", "<f4"),
        ("fall_season_spread", "<f4"),
        ("high", "<f4"),
        ("low", "<f4"),
        ("drift", "<f4"),  # smoothed distance from the season
        ("drift_square", "<f4"),
        ("bin_value", "<f4"),
        ("bin_low", "<f4"),
        ("bin_high", "<f4"),
        ("bin_before", "<f4"),
        ("n_bins", "<i4"),
        ("bin_n", "<i2"),
        ("n_pairs", "<i2"),
        ("n_protos", "<i2"),
        ("run", "<u2"),
        ("longest_run", "<u2"),
        ("spare", "u1", 2),  # no byte without a name: snapshots of equal models are equal
        ("pair_now", "<f4", N_PAIRS),
        ("pair_last", "<f4", N_PAIRS),
        ("proto_value", "<f4", N_BINS),
        ("proto_before", "<f4", N_BINS),
        ("proto_range", "<f4", N_BINS),
        ("day", "<f4", HOURS),
        ("kind", "<f4", KINDS),
        ("pair_used", "<u2", N_PAIRS),
        ("pair_born", "<u2", N_PAIRS),
        ("proto_used", "<u2", N_BINS),
        ("day_visits", "u1", HOURS),
        ("kind_visits", "u1", KINDS),
    ],
    align=True,
)

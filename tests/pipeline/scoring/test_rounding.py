"""What of a score's digits is kept."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.anomaly.scores import Scores
from pipeline.scoring.rounding import rounded, short

finite = st.floats(-1e300, 1e300)


def scores_of(expected: float, lower: float, upper: float, score: float) -> Scores:
    band = [np.array([one]) for one in (expected, lower, upper)]
    single = np.array([score], dtype=np.float32)
    nothing = np.zeros(1, dtype=np.float32)
    return Scores(single, single, *band, np.zeros(1, dtype=np.uint8), nothing)  # type: ignore[call-arg]


# The widest step that a band can have, and the band is wider than any end of one.
@example(0.0, -3.5187e299, 9.979816179950733e299, 0.0)
@given(finite, finite, finite, st.floats(0, 3, width=32))
def test_the_band_moves_by_less_than_a_256th_of_itself(
    expected: float, lower: float, upper: float, score: float
) -> None:
    lower, upper = min(lower, upper), max(lower, upper)

    got = rounded(scores_of(expected, lower, upper, score))

    most = (upper - lower) / 256 + 1e-15 * max(abs(lower), abs(upper), abs(expected))
    assert abs(got.lower[0] - lower) <= most
    assert abs(got.upper[0] - upper) <= most
    assert abs(got.expected[0] - expected) <= most
    assert abs(got.score[0] - score) <= 1 / 512
    assert got.alarm[0] == np.float32(score)
    if score >= 0.5:
        assert got.score[0] == np.float32(score)


def test_a_band_of_ten_is_rounded_to_a_16th() -> None:
    """10 is below 2**4, and 2**4 / 256 is a 16th."""
    got = rounded(scores_of(100.03, 95.01, 105.01, 0.1))

    assert (got.expected[0], got.lower[0], got.upper[0]) == (100.0, 95.0, 105.0)
    assert got.score[0] == np.float32(26 / 256)


def test_what_is_no_number_or_has_no_width_stays() -> None:
    nothing = rounded(scores_of(np.nan, np.nan, np.nan, 0.0))
    still = rounded(scores_of(7.1, 7.1, 7.1, 0.0))
    endless = rounded(scores_of(1.0, -np.inf, np.inf, 0.0))

    assert np.isnan([nothing.expected[0], nothing.lower[0], nothing.upper[0]]).all()
    assert (still.expected[0], still.lower[0], still.upper[0]) == (7.1, 7.1, 7.1)
    assert (endless.expected[0], endless.lower[0], endless.upper[0]) == (1.0, -np.inf, np.inf)


def test_values_keep_seven_digits_and_their_range() -> None:
    got = short(np.array([0.1, 1e300, -np.inf, np.nan, 1234567.0]))

    assert got.tolist()[1:3] == [1e300, -np.inf]
    assert got[0] == np.float32(0.1)
    assert np.isnan(got[3])
    assert got[4] == 1234567

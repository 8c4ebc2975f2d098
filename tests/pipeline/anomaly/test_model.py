"""The compiled model against the plain one, and exact small cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.anomaly.parameters import SHIPPED, Parameters
from pipeline.anomaly.rules import Rule
from pipeline.anomaly.scorer import Scorer
from pipeline.anomaly.scores import Scores
from tests.pipeline.anomaly.reference import Reference

MONDAY_S = 1_767_571_200.0  # 2026-01-05 00:00 UTC

Floats = NDArray[np.float64]


def score(times_s: Floats, values: Floats, constants: Parameters = SHIPPED) -> Scores:
    scorer = Scorer([Rule()], constants)
    scorer.grow(1)
    return scorer.update(np.zeros(len(values), dtype=np.int64), times_s, values)


@given(
    seed=st.integers(0, 10_000),
    step_s=st.sampled_from([10.0, 60.0, 300.0, 3600.0, 86_400.0]),
    kind=st.sampled_from(["noise", "season", "walk", "counts", "steps", "rate"]),
)
@settings(max_examples=12)
def test_the_compiled_model_is_the_plain_one(seed: int, step_s: float, kind: str) -> None:
    """Scores, alarms and expected values agree to the digits that 32 bits have, gaps included."""
    rng = np.random.default_rng(seed)
    n = 900
    rows = np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 2, 40], n))
    times_s = MONDAY_S + step_s * rows
    hours = times_s / 3600
    values: Floats = {
        "noise": rng.standard_normal(n) + 50,
        "season": 10 * np.sin(2 * np.pi * hours / 24) + rng.standard_normal(n),
        "walk": np.cumsum(rng.standard_normal(n)),
        "counts": rng.poisson(0.7, n).astype(float),
        "rate": np.exp(rng.standard_normal(n)) * rng.choice([1.0, 0.01], n, p=[0.99, 0.01]),
        "steps": np.repeat(rng.uniform(0, 9, 9), 100) + rng.standard_normal(n) * 0.1,
    }[kind]
    values[rng.integers(200, n, 3)] += 40

    found = score(times_s, values)

    reference = Reference()
    pairs = zip(times_s.tolist(), values.tolist(), strict=True)
    wanted = np.array([reference.update(time_s, value) for time_s, value in pairs])
    np.testing.assert_allclose(found.score, wanted[:, 0], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.alarm, wanted[:, 1], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.expected, wanted[:, 2], rtol=1e-4, atol=1e-4)


def test_three_windows_by_hand() -> None:
    """Values 10, 14, 10 at five minutes: level and band as a pencil has them.

    Distances from 10: 0, 4, 0. The level is their mean before each: 0, 0, 2. The mean distance
    from it is then (0), 4, and the third value lies 2 below: half a spread.
    """
    constants = SHIPPED._replace(warm=0.0)

    found = score(MONDAY_S + 300 * np.arange(3.0), np.array([10.0, 14.0, 10.0]), constants)

    assert found.expected.tolist() == [10, 10, 12]
    reach = SHIPPED.level_unit * (1 - SHIPPED.fast_cap**2) ** 0.5
    np.testing.assert_allclose(found.upper[2], 12 + 4 * reach, rtol=1e-6)
    # The second value was a rise from 10 to 14, 4 / 24 of their sum; as such a share the same reach
    # below 12 is nearer than 12 - 4 * reach.
    share = reach * 4 / 24
    np.testing.assert_allclose(found.lower[2], 12 * (1 - share) / (1 + share), rtol=1e-6)
    # No pair is older than `young` windows, and a bin has more than three; what is left is the
    # smoothed distance from the level, in units of its mean before, which the second gave alone.
    share = 300 / SHIPPED.smooth_s
    before = 4 * share
    now = before + (-2 - before) * share
    drift = (now / before / SHIPPED.drift_unit) ** 2
    np.testing.assert_allclose(found.score, [0, 0, drift], rtol=1e-5)


@pytest.mark.parametrize(("factor", "n_alarms"), [(1.001, 1), (0.999, 0)])
def test_two_channels_have_to_agree(factor: float, n_alarms: int) -> None:
    """Each alone stays below 1 by its cap; that of level with a share of the other passes.

    A square wave of 0 and 1 has level 1/2 and spread 1/2. A value v after 0 lies v - 1/2 away and
    v - 1 from the nearest pair (1, 0), of a range of 1: half of that is the pair's novelty.
    """
    n = 400
    values = (np.arange(n) % 2).astype(np.float64)
    constants = SHIPPED._replace(level_unit=1.0, fast_cap=0.9, leak=0.0, level_windows=1e9)
    # Far enough that the level is capped: 0.81, and the pair has to give 0.19.
    value = 1 + 2 * 0.19**0.5 * constants.pair_unit * factor
    values[-1] = value

    found = score(MONDAY_S + 300 * np.arange(n, dtype=np.float64), values, constants)

    assert value - 0.5 > 0.9 * 0.5 * constants.level_unit
    assert (found.score[:-1] <= 1).all()
    assert int((found.score > 1).sum()) == n_alarms

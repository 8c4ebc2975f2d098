"""The short form of the campaign: no decoder crashes, or takes a sample that is not there."""

import pytest

from tests.fuzz.campaign import run
from tests.fuzz.targets import TARGETS

BODIES = 500


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bodies_mean_what_the_reference_makes_of_them(name: str) -> None:
    report = run(TARGETS[name](), BODIES, seed=1)

    assert report.failures == []
    assert report.n_bodies == BODIES

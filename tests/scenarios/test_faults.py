"""A short campaign of random faults under load; docs/faults.md has a long one."""

from dataclasses import replace

import pytest

from ops.faults.__main__ import run_campaign
from ops.faults.plan import SHORT, Kind

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]


def test_random_faults_lose_double_and_spoil_nothing() -> None:
    """25 faults, drawn from a fixed seed, of every kind."""
    said: list[str] = []
    plan = replace(SHORT, seed=7)

    result = run_campaign(plan, said.append)

    assert result.is_clean, "\n".join(said)
    assert len(result.faults) == plan.n_faults >= 25
    assert {one.fault.kind for one in result.faults} == set(Kind) - plan.without
    assert result.faults[-1].recovery_s is not None
    assert result.orphans == 0
    names = {name for one in result.checks for name in one.differences}
    widths = (10, 60, 300, 3600)
    assert names == {"samples", *(f"rollups {width_s} s" for width_s in widths)}
    assert all(one.differences["samples"].compared for one in result.checks)

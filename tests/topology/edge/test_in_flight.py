"""Bytes in flight: bounded for the process, and for each tenant by what the others leave."""

import pytest

from topology.edge.in_flight import InFlight
from topology.http import Refused


def test_a_tenant_alone_gets_three_quarters_and_another_finds_room() -> None:
    held = InFlight(100)
    with held.holding("greedy") as hold:
        hold(75)
        with pytest.raises(Refused, match=r"75 bytes of requests .* 75 of them this tenant's"):
            hold(1)
        with held.holding("other") as hold_other:
            hold_other(18)
            with pytest.raises(Refused):
                hold_other(1)
            with held.holding("third") as hold_third:
                hold_third(5)
        assert held.n_bytes() == 75

    assert held.n_bytes() == 0
    with held.holding("other") as hold_other:
        hold_other(75)

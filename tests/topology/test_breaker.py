"""The breaker of a partition: single bad records pass, a run of them stops it."""

from topology.breaker import Breaker


def test_nineteen_bad_records_pass_and_the_twentieth_stops() -> None:
    breaker = Breaker()

    assert [breaker.trips() for _ in range(19)] == [None] * 19
    assert (breaker.trips() or "").startswith("20 of the last 20 records cannot be read")


def test_bad_records_among_as_many_good_ones_pass_for_ever() -> None:
    breaker = Breaker()
    for _ in range(500):
        breaker.good()
        assert breaker.trips() is None


def test_a_topic_that_turns_bad_stops_when_most_of_the_last_hundred_are() -> None:
    breaker = Breaker()
    for _ in range(1_000):
        breaker.good()

    n_passed = 0
    while breaker.trips() is None:
        n_passed += 1
    assert n_passed == 50

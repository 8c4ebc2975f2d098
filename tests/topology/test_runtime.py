"""Health: what is ready, what still starts, and what stands still."""

from topology.runtime import Health


def test_a_part_that_stands_still_is_not_ready_but_nobody_waits_for_it() -> None:
    health = Health()
    assert health.may_recover()

    health.set("start", None)
    health.stand_still("partition 2", "unknown version")

    assert health.reasons() == {"partition 2": "unknown version"}
    assert not health.may_recover()


def test_a_part_that_recovers_by_itself_is_waited_for() -> None:
    health = Health()
    health.set("start", None)
    health.stand_still("partition 2", "unknown version")
    health.set("kafka", "cannot reach it")

    assert health.may_recover()

    health.set("kafka", None)
    health.set("partition 2", None)
    assert health.reasons() == {}

"""What `observai partitions` says of a growth that is not finished."""

from ops.partitions import Partitions
from schemas.topics import PARTITIONED, Topic

TOPICS = {topic.value: 4 if topic in PARTITIONED else 1 for topic in Topic}
DONE = {reader: dict.fromkeys(range(4), 7) for reader in ("window", "archive")}
PROCESSES = {"edge": 4, "edge-1": 4, "store": 4, "worker": 3, "worker-1": 1}


def test_nothing_is_missing_when_all_follow() -> None:
    assert Partitions(TOPICS, DONE, PROCESSES).missing() == []
    assert Partitions(TOPICS, DONE).missing() == [], "elsewhere, without an `up` to ask"


def test_each_that_does_not_follow_is_named() -> None:
    found = Partitions(
        TOPICS | {"series": 2},
        DONE | {"window": {0: 9, 1: 9, 2: 0}},
        PROCESSES | {"edge-1": 2, "worker-1": 0},
    )

    assert found.missing() == [
        "topic series has 2",
        "edge-1 spreads over 2",
        "workers read 3",
        "window has done records of 2",
    ]

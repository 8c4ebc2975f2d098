"""Records that an operator has allowed to be passed over where a partition stands still."""

from schemas.config import Entry, SkipRecord
from schemas.topics import Topic

# What such dead letters are counted under.
SKIPPED = "skipped"


class Skips:
    """The allowances as of the config records applied so far, one a partition.

    They are for records that cannot be read, and let none that can be read be left out. All
    before the record at which a partition stands is done, so one offset says which are meant.
    """

    def __init__(self) -> None:
        self._until: dict[str, SkipRecord] = {}

    def apply(self, name: str, entry: Entry | None) -> None:
        """Apply one entry, None to remove."""
        if isinstance(entry, SkipRecord):
            self._until[name] = entry
        else:
            self._until.pop(name, None)

    def covers(self, topic: Topic, partition: int, offset: int) -> bool:
        """Whether a record that cannot be read, or not by this build, may be passed over."""
        one = self._until.get(f"{topic}/{partition}")
        return one is not None and offset < one.until_offset

    def all(self) -> list[SkipRecord]:
        """Return all allowances, by topic and partition."""
        return sorted(self._until.values(), key=lambda one: (one.topic, one.partition))


def way_out(topic: Topic, partition: int) -> str:
    """Return what an operator reads where a partition stands still."""
    return (
        f"; `observai dead-letters skip {topic} {partition} --dry-run` shows which records could "
        "be passed over into dead letters"
    )

"""The two ways in which a record can be unreadable; each has its own fate."""


class InvalidRecord(ValueError):
    """The bytes are no record. Fate: dead letter with this reason, counted, never retried."""


class UnknownVersion(Exception):
    """The record is of a format version that this build does not know.

    Fate: the partition stops and says so. It may be good data of a newer writer, so it
    is neither skipped nor dead-lettered, unless an operator says so (topology/skips.py).
    """

    def __init__(self, kind: str, version: int, known: int) -> None:
        super().__init__(
            f"{kind} record of format version {version}: this build reads up to version {known}; "
            "upgrade it before this partition can go on"
        )
        self.version = version

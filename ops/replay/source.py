"""What both sources of a replay give: records of samples, in an order that is always the same."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One record of topic samples, read or made; log_ms: when it arrived there.

    is_resumable: a checkpoint may be taken after it. is_last: its partition has no more.
    """

    partition: int
    offset: int
    log_ms: int
    payload: bytes
    is_resumable: bool = True
    is_last: bool = False


class Source(Protocol):
    """Where samples come from."""

    def records(self) -> AsyncIterator[Record]:
        """Yield all records that are left; those of a partition in the order of their offsets."""

    def is_blind(self, partition: int) -> bool:
        """Whether samples before the partition's first record may matter to its windows."""

    def n_open(self) -> int:
        """Return how many partitions are read side by side."""

    def progress(self) -> float:
        """Return how much of it has been given, from 0 to 1, about."""

    async def close(self) -> None:
        """Let go of what it reads from."""

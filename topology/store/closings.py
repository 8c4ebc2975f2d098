"""Up to when windows are closed, as the records tell whose rows are stored."""

from schemas.rollups import CloseBlock, RecomputeBlock
from schemas.topics import Topic
from topology.store.batch import Batch

# The width that tells of time: every tenant has it.
_MINUTE_S = 60


class Closings:
    """What records of topic rollups say of time, once their rows are stored.

    A minute's row is written when the watermark has passed the minute, and so have been those of
    all series of its tenant and partition before. A record was written when all that had been
    received before it was folded.
    """

    def __init__(self) -> None:
        self._closed_ms: dict[tuple[str, int], int] = {}
        self._answered_ms: dict[int, int] = {}

    def note(self, batch: Batch) -> None:
        """Take note of a batch whose rows are stored."""
        places = batch.places.get(Topic.ROLLUPS, [])
        for place, rows in zip(places, batch.rollups, strict=True):
            until_ms = int(rows.window_starts_ms.max()) + _MINUTE_S * 1000
            if rows.width_s == _MINUTE_S:
                self._close(rows.tenant, place.partition, until_ms)
            self._answer(place.partition, rows.receive_ms)
        for task in batch.tasks:
            match task.block:
                case CloseBlock():
                    until_ms = task.block.until_ms
                case RecomputeBlock():
                    until_ms = task.block.closed_until_ms
            self._close(task.block.tenant, task.place.partition, until_ms)
            if task.lane == Topic.ROLLUPS:
                self._answer(task.place.partition, task.block.receive_ms)

    def closed_ms(self, tenant: str, partition: int) -> int:
        """Return up to when windows are closed, 0 where nothing is known."""
        return self._closed_ms.get((tenant, partition), 0)

    def answered_ms(self, partition: int) -> int:
        """Return the newest receive time that records of topic rollups come from."""
        return self._answered_ms.get(partition, 0)

    def clear(self) -> None:
        """Forget all."""
        self._closed_ms.clear()
        self._answered_ms.clear()

    def _close(self, tenant: str, partition: int, until_ms: int) -> None:
        before_ms = self.closed_ms(tenant, partition)
        self._closed_ms[tenant, partition] = max(before_ms, until_ms)

    def _answer(self, partition: int, receive_ms: int) -> None:
        self._answered_ms[partition] = max(self.answered_ms(partition), receive_ms)

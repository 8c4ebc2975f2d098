"""Closes of coarse windows, held back and joined: at full speed they come faster than they pay."""

from dataclasses import replace

from pipeline.stretches import NO_STRETCHES
from pipeline.tenant_windows import NO_ROWS
from pipeline.windows import Close, Closed


class Closes:
    """What has been said of coarse windows since the last `take`, by partition and tenant.

    A close may be said later than it is true, so twelve of five minutes become one of an hour,
    which reads and writes once.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], Closed] = {}

    def hold_back(self, partition: int, closed: Closed) -> Closed:
        """Keep the closes; return all else."""
        if not closed.closes:
            return closed
        key = (partition, closed.tenant)
        before = self._held[key].closes if key in self._held else ()
        joined = _joined((*before, *closed.closes))
        self._held[key] = replace(closed, rows=NO_ROWS, stretches=NO_STRETCHES, closes=joined)
        return replace(closed, closes=())

    def take(self) -> list[tuple[int, Closed]]:
        """Return by partition what was held back."""
        held, self._held = self._held, {}
        return [(partition, closed) for (partition, _), closed in held.items()]


def _joined(closes: tuple[Close, ...]) -> tuple[Close, ...]:
    """Return closes by width and time, those that overlap or touch made one."""
    joined: list[Close] = []
    for one in sorted(closes, key=lambda one: (one.width_ms, one.n_partitions, one.from_ms)):
        last = joined[-1] if joined else None
        is_alike = last is not None and (last.width_ms, last.n_partitions) == (
            one.width_ms,
            one.n_partitions,
        )
        if last is not None and is_alike and one.from_ms <= last.until_ms:
            joined[-1] = replace(last, until_ms=max(last.until_ms, one.until_ms))
        else:
            joined.append(one)
    return tuple(joined)

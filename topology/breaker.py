"""A stop against dead-lettering a whole topic: of a wrong producer, prefix or build."""

from collections import deque

_LAST = 100
_LEAST = 20


class Breaker:
    """Looks at the last records of one partition; trips when most of them cannot be read."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=_LAST)

    def good(self) -> None:
        """Note a record that was read."""
        self._last.append(False)

    def trips(self) -> str | None:
        """Note one that cannot be read; return why the partition has to stop before it, if so."""
        self._last.append(True)
        n_bad, n = sum(self._last), len(self._last)
        if n_bad < _LEAST or 2 * n_bad <= n:
            return None
        return (
            f"{n_bad} of the last {n} records cannot be read. They are left where they are: find "
            f"what writes them to this topic, or upgrade; each restart tries {_LEAST} more"
        )

"""What the archive tells the grouping of anomalies."""

import threading
from collections.abc import Sequence

from schemas.scores import ScoreBlock


class News:
    """Times of anomalous windows that are stored and not grouped yet, by tenant; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: dict[str, tuple[int, int]] = {}

    def note(self, blocks: Sequence[ScoreBlock]) -> None:
        """Take note of stored scores."""
        for block in blocks:
            starts_ms = block.window_starts_ms[block.scores > 1]
            if len(starts_ms):
                self.add(block.tenant, int(starts_ms.min()) // 1000, int(starts_ms.max()) // 1000)

    def add(self, tenant: str, first_s: int, last_s: int) -> None:
        """Add a span of times."""
        with self._lock:
            before = self._spans.get(tenant, (first_s, last_s))
            self._spans[tenant] = (min(before[0], first_s), max(before[1], last_s))

    def take(self) -> dict[str, tuple[int, int]]:
        """Return the first and the last time of each tenant, and forget them."""
        with self._lock:
            spans, self._spans = self._spans, {}
            return spans

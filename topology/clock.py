"""The one place that asks for the time of day."""

import time


def now_ms() -> int:
    """Return ms since the Unix epoch."""
    return time.time_ns() // 1_000_000

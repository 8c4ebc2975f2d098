"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02


def wait_until(condition: Callable[[], object], deadline_s: float, what: str) -> None:
    """Return when the condition holds; fail with `what` at the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(POLL_S)


async def wait_until_async(
    condition: Callable[[], Awaitable[object]], deadline_s: float, what: str
) -> None:
    """As wait_until, for a condition that is awaited."""
    end_s = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(POLL_S)

"""Refused logins by address, so that a burst of them is told once and not per request."""

import secrets
from collections import Counter

from schemas.events import Audited
from topology.tenants import DEFAULT_TENANT

BURST = 10
WINDOW_MS = 60_000
MAX_ADDRESSES = 1_000
_OTHERS = "others"


class RefusedLogins:
    """Counts refusals of a minute; a minute with BURST of them from one address is a burst."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._began_ms = 0

    def add(self, address: str, reason: str) -> None:
        """Count one; addresses beyond MAX_ADDRESSES count together."""
        if address not in self._counts and len(self._counts) >= MAX_ADDRESSES:
            address = _OTHERS
        self._counts[address] += 1
        self._reasons[address] = reason

    def take(self, now_ms: int) -> list[Audited]:
        """Return the bursts of the minute, if it is over, and begin the next one."""
        if now_ms - self._began_ms < WINDOW_MS:
            return []
        bursts = [
            Audited(
                id=secrets.token_hex(8),
                time_ms=now_ms,
                tenant=DEFAULT_TENANT,
                actor="",
                actor_tenant="",
                address=address,
                action="login.refused",
                target="",
                details=f"{count} requests refused within a minute, the last one because of: "
                f"{self._reasons[address]}",
            )
            for address, count in self._counts.items()
            if count >= BURST
        ]
        self._counts.clear()
        self._reasons.clear()
        self._began_ms = now_ms
        return bursts

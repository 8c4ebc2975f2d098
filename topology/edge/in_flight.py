"""Bytes of requests that an edge holds, up to a bound."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from topology.edge.compression import Hold
from topology.http import Refused

_SHARE = 3


class InFlight:
    """Counts bytes of all requests under way; of any thread.

    A tenant may hold three times what is left, so three quarters when it is alone, and the more
    others hold the less: whoever holds nothing finds room (Choudhury and Hahne, 1998).
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._by_tenant: Counter[str] = Counter()
        self._lock = threading.Lock()

    def n_bytes(self) -> int:
        """Return what is held now."""
        return self._n_bytes

    @contextmanager
    def holding(self, tenant: str) -> Iterator[Hold]:
        """Give a block a function that takes further bytes; all are given back at its end.

        The function raises Refused where the bound is reached.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self._take(tenant, size)
            held += size

        try:
            yield hold
        finally:
            self._take(tenant, -held)

    def _take(self, tenant: str, size: int) -> None:
        with self._lock:
            left = self._max_bytes - self._n_bytes - max(size, 0)
            own = self._by_tenant[tenant] + size
            if size > 0 and (left < 0 or own > _SHARE * left):
                held = self._by_tenant[tenant]
                message = (
                    f"{self._n_bytes} bytes of requests are waiting for the broker, {held} of them "
                    f"this tenant's; at most {self._max_bytes} (an eighth of memory_bytes), and of "
                    f"one tenant {_SHARE} times what is left of it"
                )
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message)
            self._n_bytes += size
            self._by_tenant[tenant] = own
            if not own:
                del self._by_tenant[tenant]

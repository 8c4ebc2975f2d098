"""Bytes of requests that an edge holds, up to a bound."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from topology.edge.compression import Hold
from topology.http import Refused


class InFlight:
    """Counts bytes of all requests under way; of any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._lock = threading.Lock()

    def n_bytes(self) -> int:
        """Return what is held now."""
        return self._n_bytes

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """Give a block a function that takes further bytes; all are given back at its end.

        The function raises Refused where the bound is reached.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self._take(size)
            held += size

        try:
            yield hold
        finally:
            self._take(-held)

    def _take(self, size: int) -> None:
        with self._lock:
            if size > 0 and self._n_bytes + size > self._max_bytes:
                message = (
                    f"{self._n_bytes} bytes of requests are waiting for the broker, at most "
                    f"{self._max_bytes} (an eighth of memory_bytes)"
                )
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message)
            self._n_bytes += size

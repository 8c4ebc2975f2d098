"""Which connections of a process have a place, and which are only there to be told of none."""

import resource
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from prometheus_client import Counter

# Beyond those with a place: to be answered 503, and for who asks after this process' health.
ROOM = 512
# Files that are no HTTP connection: of the store's engine, of Kafka's connections, logs.
_LEAST_OTHER_FILES = 256
_FILES_WANTED = 65_536
_SAY_EVERY_S = 60.0


class Connection(Protocol):
    """What can be closed at once."""

    def cut(self) -> None:
        """Close without an answer."""


class Places:
    """The first `most` connections have a place; of further ones the newest `room` are kept open.

    So whoever holds connections open can neither use up the process' files, nor keep those out
    who come, ask for its health, and are answered at once.
    """

    def __init__(
        self,
        most: int,
        room: int,
        log: structlog.stdlib.BoundLogger,
        refused: Counter,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._room = room
        self._log = log
        self._refused = refused
        self._clock_s = clock_s
        self._placed: set[Connection] = set()
        # In the order in which they came.
        self._waiting: dict[Connection, None] = {}
        self._n_cut, self._said_s = 0, -_SAY_EVERY_S

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._placed) + len(self._waiting)

    def enter(self, one: Connection) -> None:
        """Take a connection up; the one that has waited longest may be cut for it."""
        if len(self._placed) < self.most:
            self._placed.add(one)
            return
        self._waiting[one] = None
        if len(self._waiting) > self._room:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cut()
            self._refused.labels("cut").inc()
            self._n_cut += 1
            self._say()

    def leave(self, one: Connection) -> None:
        """Forget a connection."""
        self._placed.discard(one)
        self._waiting.pop(one, None)

    def has_place(self, one: Connection) -> bool:
        """Whether a connection's requests are served; it gets a place that has become free."""
        if one in self._placed:
            return True
        if one in self._waiting and len(self._placed) < self.most:
            del self._waiting[one]
            self._placed.add(one)
            return True
        self._refused.labels("503").inc()
        return False

    def _say(self) -> None:
        now_s = self._clock_s()
        if now_s - self._said_s >= _SAY_EVERY_S:
            self._said_s = now_s
            self._log.warning(
                "connections cut: too many are open (OBSERVAI_MAX_CONNECTIONS)",
                cut=self._n_cut,
                open=len(self),
                max_connections=self.most,
            )
            self._n_cut = 0


def allow_files() -> int:
    """Raise the number of files that this process may have open; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _FILES_WANTED if soft == resource.RLIM_INFINITY else soft


def places_for(wanted: int, n_files: int) -> tuple[int, int]:
    """Return how many connections may have a place and how many more be open, by a limit on files.

    A quarter of the files, at least some hundred, are left to the rest of the process.
    """
    for_connections = max(n_files - max(n_files // 4, _LEAST_OTHER_FILES), 2)
    room = min(ROOM, for_connections // 2)
    return min(wanted, for_connections - room), room

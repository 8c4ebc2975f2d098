"""What one client was told is taken: samples by series and time, the last acknowledged wins."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ops.faults.traffic import Request, keys_of, split_keys

_LINES_SHOWN = 100


class Samples(NamedTuple):
    """Samples by series and time, each key once. int32 (n,), int64 (n,), float64 (n,)."""

    series: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]


class Acknowledged(NamedTuple):
    """A request that was taken at its n-th attempt, and when."""

    request: Request
    n_attempts: int
    at_ms: int


class Ledger:
    """Acknowledged requests of one client in their order: `entries`."""

    def __init__(self) -> None:
        self.entries: list[Acknowledged] = []
        self.n_samples = 0
        self.n_refused = 0
        self.n_retries = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, request: Request, n_attempts: int, at_ms: int) -> None:
        """Take down that all of a request was taken but its refused samples."""
        kept = request.kept()
        self.entries.append(Acknowledged(kept, n_attempts, at_ms))
        self.n_samples += len(kept.series)
        self.n_refused += len(request.series) - len(kept.series)
        self.n_retries += n_attempts - 1

    def samples(self) -> Samples:
        """Return what has to be stored."""
        requests = [entry.request for entry in self.entries]
        keys = [keys_of(request.series, request.times_ms) for request in requests]
        values = [request.values for request in requests]
        none = np.zeros(0)
        return keep_last(
            np.concatenate([none.astype(np.int64), *keys]), np.concatenate([none, *values])
        )

    def history(self, series: int, from_ms: int, until_ms: int) -> list[str]:
        """Return each acknowledged attempt to write a sample of a time, in words."""
        found = []
        for number, (request, n_attempts, at_ms) in enumerate(self.entries):
            times_ms = request.times_ms
            of_series = request.series == series
            at = np.flatnonzero(of_series & (times_ms >= from_ms) & (times_ms < until_ms))
            found += [
                f"{times_ms[one]} ({as_time(int(times_ms[one]))}) = {request.values[one]!r} by "
                f"request {number} ({request.kind}), acknowledged {as_time(at_ms)} at attempt "
                f"{n_attempts}"
                for one in at.tolist()
            ]
        return found[:_LINES_SHOWN]


def keep_last(keys: NDArray[np.int64], values: NDArray[np.float64]) -> Samples:
    """Return samples in the order of keys, of several with one key the last."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_last = np.ones(len(keys), dtype=np.bool_)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    return Samples(*split_keys(ordered[is_last]), values[order][is_last])


def as_time(time_ms: int) -> str:
    """Return a time of day in UTC with milliseconds."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]

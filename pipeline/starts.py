"""Counts that are known to begin at zero: the zeros to store, so that `increase` sees the begin.

`increase` looks at pairs of samples, so what a counter has counted before its first sample, or
between a restart and the first sample after it, is seen only if a sample says where it began.
Senders that give a start time with each sample (remote write 2.0, OTLP) say so: the sample 0 at
that time is stored like any other, once for each start.

A delta (OTLP) is a counter that begins anew with each point: its start is DELTA_MS before it. Then
`increase` and `sum` of any window are what the deltas in it add up to, without state at the edge:
a resent point, or one that another edge takes, changes nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.known_series import KnownSeries
from pipeline.salt import salted
from pipeline.slots import LOOKBACK_MS

DELTA_MS = 1
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Zeros:
    """Zeros to store of a batch of samples.

    rows: int64 (m,), ascending, before which sample of the batch each belongs.
    times_ms: int64 (m,). seen: uint64, for `Starts.remember`.
    """

    rows: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    seen: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.rows)

    def insert_into(
        self,
        series_ids: NDArray[np.uint64],
        times_ms: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the columns of the batch, shape (n,), with the zeros, shape (n + m,)."""
        if not len(self):
            return series_ids, times_ms, values
        return (
            np.insert(series_ids, self.rows, series_ids[self.rows]),
            np.insert(times_ms, self.rows, self.times_ms),
            np.insert(values, self.rows, 0.0),
        )


_NO_ROWS = np.empty(0, dtype=np.int64)
NO_ZEROS = Zeros(_NO_ROWS, _NO_ROWS, np.empty(0, dtype=np.uint64))


# What is remembered has no age: it goes when as many others have come.
_ALWAYS_MS = 0


class Starts:
    """Which starts have been told, of the max_series series at least that began last."""

    def __init__(self, max_series: int) -> None:
        self._seen = KnownSeries(max_series)

    def n_bytes(self) -> int:
        """Return the memory of what is remembered."""
        return self._seen.n_bytes()

    def zeros_of(
        self,
        series_ids: NDArray[np.uint64],
        times_ms: NDArray[np.int64],
        starts_ms: NDArray[np.int64],
        tenant_seed: np.uint64,
    ) -> Zeros:
        """Return the zeros of a batch of cumulative samples, shape (n,), in the order sent.

        starts_ms: int64 (n,), since when each sample counts; 0 where that is not known, and for
        what does not count from zero; (0,) where it is known of none. A start more than 5 minutes
        before its sample tells `increase` nothing. One at the time of a sample is no zero but that
        sample: so senders begin that do not know since when they count.
        """
        if not len(starts_ms):
            return NO_ZEROS
        age_ms = times_ms - starts_ms
        is_told = (starts_ms > 0) & (age_ms >= 0) & (age_ms <= LOOKBACK_MS)
        if not is_told.any():
            return NO_ZEROS
        # Deltas are not remembered: they would push out what is needed for five minutes.
        rows = np.flatnonzero(is_told & (age_ms != DELTA_MS))
        keys = salted(_key_of(series_ids[rows], starts_ms[rows]), tenant_seed)
        fresh = np.flatnonzero(self._seen.unknown(keys, _ALWAYS_MS))
        seen, first = np.unique(keys[fresh], return_index=True)
        is_known = np.isin(seen, keys[age_ms[rows] == 0])
        deltas = np.flatnonzero(is_told & (age_ms == DELTA_MS))
        chosen = np.sort(np.concatenate((deltas, rows[fresh[first[~is_known]]])))
        return Zeros(chosen, starts_ms[chosen], seen)

    def remember(self, zeros: Zeros) -> None:
        """Note that a batch is stored; before that, a client may have to send it again."""
        if len(zeros.seen):
            self._seen.add(zeros.seen, _ALWAYS_MS)


def _key_of(series_ids: NDArray[np.uint64], starts_ms: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one word for each series and start; never 0, which a set cannot hold."""
    keys: NDArray[np.uint64] = (series_ids ^ (starts_ms.view(np.uint64) * _ODD)) * _ODD
    return keys | np.uint64(1)

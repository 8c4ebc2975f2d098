"""What the score stage knows of each series of a partition, found by its tenant and id.

An id alone is not enough: labels can be made up whose id is that of another tenant's series.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.hashing import avalanche
from pipeline.salt import salt_of
from pipeline.scoring.values import Value
from pipeline.slots import LOOKBACK_MS, NO_WINDOW

_LEAST_CAPACITY = 64
NO_MODEL = np.int32(-1)
_NONE, _RATE, _MIN, _MAX = int(Value.NONE), int(Value.RATE), int(Value.MIN), int(Value.MAX)
_LAST, _COUNT, _SUM = int(Value.LAST), int(Value.COUNT), int(Value.SUM)
# Of the usual number of samples of a window, per window.
_COUNT_RATE = np.float32(1 / 8)
# What the sum of a window's differences may be off by, as a share of the counter.
_ROUNDING = 1e-12

SERIES = np.dtype(
    [
        ("series_id", "<u8"),
        ("tenant", "<u8"),  # hashing.tenant_hash
        ("known_ms", "<i8"),  # receive time of its first announcement
        ("seen_ms", "<i8"),  # receive time of its last window, at first that of the announcement
        ("window_ms", "<i8"),  # start of its last window, or NO_WINDOW
        ("last", "<f8"),  # value at the end of that window
        ("usual_count", "<f4"),
        ("model", "<i4"),  # slot of its model, or NO_MODEL
        ("rule", "<i4"),
        ("value", "<u2"),  # a Value
        ("is_learning", "<u2"),
    ],
    align=True,
)
BYTES_PER_SERIES = SERIES.itemsize * 5 // 4 + 16


class SeriesTable:
    """Records of type SERIES in the order in which they were added, and an index to find them.

    Where in the index one stands is a secret of the process: no ids can be made up that crowd it.
    """

    def __init__(self, series: NDArray[np.void] | None = None) -> None:
        self._salt = salt_of(0)
        # The last search, which is often asked for again: ids, tenants, and where they stand.
        self._last: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]] | None = None
        found = np.zeros(0, dtype=SERIES) if series is None else series
        self.n = len(found)
        self._series = np.zeros(max(_LEAST_CAPACITY, self.n), dtype=SERIES)
        self._series[: self.n] = found
        self._index_anew()

    @property
    def series(self) -> NDArray[np.void]:
        """The records, of which changes hold, but not to series_id and tenant."""
        return self._series[: self.n]

    def n_bytes(self) -> int:
        """Return the memory of records and index."""
        return self._series.nbytes + self._index.nbytes

    def find(
        self, series_ids: NDArray[np.uint64], tenants: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Return where each series stands, -1 for one that is not there.

        tenants: the tenant_hash of each series, or the one of all of them, shape (1,).
        """
        last = self._last
        if last is not None and last[0] is series_ids and np.array_equal(last[1], tenants):
            return last[2]
        at = np.empty(len(series_ids), dtype=np.int64)
        _find_all(self._index, self._series, series_ids, tenants, self._salt, at)
        self._last = (series_ids, tenants, at)
        return at

    def add(self, new: NDArray[np.void]) -> None:
        """Add records of series that are not there."""
        self._last = None
        needed = self.n + len(new)
        if needed > len(self._series):
            grown = np.zeros(max(needed, len(self._series) * 5 // 4), dtype=SERIES)
            grown[: self.n] = self.series
            self._series = grown
        self._series[self.n : needed] = new
        first, self.n = self.n, needed
        if 2 * needed > len(self._index):
            self._index_anew()
        else:
            _index(self._index, self._series, first, needed, self._salt)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Forget the series of which kept, shape (n,), is false; the others move up."""
        self._last = None
        series = self.series[kept]
        self.n = len(series)
        self._series = np.zeros(max(_LEAST_CAPACITY, self.n), dtype=SERIES)
        self._series[: self.n] = series
        self._index_anew()

    def _index_anew(self) -> None:
        n_places = 1 << (4 * max(_LEAST_CAPACITY, self.n) - 1).bit_length()
        self._index = np.full(n_places, -1, dtype=np.int32)
        _index(self._index, self._series, 0, self.n, self._salt)


@njit(inline="always")
def _place(
    index: NDArray[np.int32], series: Any, series_id: np.uint64, tenant: np.uint64, salt: np.uint64
) -> np.int64:
    """Return the place in the index that holds the series, or the empty one where it belongs."""
    mask = np.uint64(len(index) - 1)
    place = np.int64(avalanche(series_id ^ tenant ^ salt) & mask)
    while index[place] >= 0:
        one = series[index[place]]
        if one.series_id == series_id and one.tenant == tenant:
            break
        place = (place + 1) & np.int64(mask)
    return place


@njit(cache=True)
def _index(index: NDArray[np.int32], series: Any, first: int, end: int, salt: np.uint64) -> None:
    for at in range(first, end):
        one = series[at]
        index[_place(index, series, one.series_id, one.tenant, salt)] = at


@njit(cache=True)
def _find_all(
    index: NDArray[np.int32],
    series: Any,
    series_ids: NDArray[np.uint64],
    tenants: NDArray[np.uint64],
    salt: np.uint64,
    at: NDArray[np.int64],
) -> None:
    for i in range(len(series_ids)):
        tenant = tenants[i if len(tenants) > 1 else 0]
        at[i] = index[_place(index, series, series_ids[i], tenant, salt)]


@njit(inline="always")
def _rate(
    one: Any, window_ms: int, width_ms: int, count: float, last: float, increase: float
) -> Any:
    """Return the increase per second since the series' window before, NaN where it is not known.

    It is known where it leads from that window's last value to this one's. A counter that began
    anew, within the window or just before it, has lost what came between; after a stale marker,
    and where the window before was not streamed, a part is missing. After a gap, the increase is
    that of the whole gap; after one longer than the lookback of `increase` it is not. Nor is it
    where samples of the window are missing.
    """
    if one.window_ms == NO_WINDOW or 2 * count < one.usual_count:
        return np.nan
    since_ms = window_ms - one.window_ms
    if since_ms > max(LOOKBACK_MS - width_ms, width_ms):
        return np.nan
    away = abs(last - one.last - increase)
    if not away <= _ROUNDING * max(abs(last), abs(one.last)):
        return np.nan
    return increase / np.float64(since_ms / 1000)


@njit(cache=True)
def take_windows(
    series: Any,
    at: NDArray[np.int64],
    first: int,
    receive_ms: int,
    width_ms: int,
    window_ms: NDArray[np.int64],
    counts: NDArray[np.uint32],
    sums: NDArray[np.float64],
    mins: NDArray[np.float64],
    maxs: NDArray[np.float64],
    lasts: NDArray[np.float64],
    increases: NDArray[np.float64],
    free: NDArray[np.int32],
    n_free: int,
    may_wait: bool,  # noqa: FBT001 - compiled code has no keyword arguments
    slots: NDArray[np.int64],
    values: NDArray[np.float64],
) -> tuple[int, int]:
    """Take note of windows from the first one on; set slot and value of those to be judged.

    at: where each window's series stands, -1 if it is not known. free: slots without a series, the
    last n_free of which are given away from the end. slots: set to -1 for a window that is not
    judged: of a series that is not scored, or not known at receive_ms, or at or before the series'
    last one, or where no slot is left. Returns the next window and n_free; with may_wait it ends
    early at a window that needs a slot when none is left.
    """
    for i in range(first, len(at)):
        slots[i] = -1
        if at[i] < 0:
            continue
        one = series[at[i]]
        if one.known_ms > receive_ms or window_ms[i] <= one.window_ms:
            continue
        if one.value != _NONE and one.model < 0:
            if n_free == 0 and may_wait:
                return i, n_free
            if n_free > 0:
                n_free -= 1
                one.model = free[n_free]
                one.is_learning = 1
        if one.value != _NONE and one.model >= 0:
            slots[i] = one.model
            count = np.float64(counts[i])
            if one.value == _RATE:
                values[i] = _rate(one, window_ms[i], width_ms, count, lasts[i], increases[i])
            elif one.value == _MIN:
                values[i] = mins[i]
            elif one.value == _MAX:
                values[i] = maxs[i]
            elif one.value == _LAST:
                values[i] = lasts[i]
            elif one.value == _COUNT:
                values[i] = count
            elif one.value == _SUM:
                values[i] = sums[i]
            else:
                values[i] = sums[i] / max(count, 1.0)
        if one.window_ms == NO_WINDOW:
            one.usual_count = np.float32(counts[i])
        else:
            one.usual_count += _COUNT_RATE * (np.float32(counts[i]) - one.usual_count)
        one.window_ms = window_ms[i]
        one.last = lasts[i]
        one.seen_ms = max(one.seen_ms, receive_ms)
    return len(at), n_free

"""Which series of a remote write request have native histograms, compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.refusals import MAX_PLACES
from pipeline.wire import read_varint, skip_value


def histogram_series(
    body: NDArray[np.uint8], spans: NDArray[np.int64], tag: np.uint64, n_histograms: int
) -> NDArray[np.int64]:
    """Return the index of the series of each histogram, of the first MAX_PLACES, int64 (k,).

    spans: int64 (n, 2), where each TimeSeries message stands, which has been decoded before.
    tag: that of a histogram in it. n_histograms: how many there are.
    """
    found = np.empty(min(n_histograms, MAX_PLACES), dtype=np.int64)
    if len(found):
        _fill(body, spans, tag, found)
    return found


@njit(cache=True, nogil=True)
def _fill(
    body: NDArray[np.uint8],
    spans: NDArray[np.int64],
    tag: np.uint64,
    found: NDArray[np.int64],
) -> None:
    n = 0
    for series in range(len(spans)):
        at, end = spans[series]
        while at < end:
            field, at = read_varint(body, at, end)
            at = skip_value(body, at, end, field)
            if field == tag:
                found[n] = series
                n += 1
                if n == len(found):
                    return

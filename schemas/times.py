"""The span of time that the pipeline works with."""

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidRecord

# The store's DateTime ends in 2106; what is beyond would land on a wrong day.
LAST_MS = (2**32 - 1) * 1000


def check_times(times_ms: NDArray[np.int64]) -> None:
    """Raise InvalidRecord unless all times, shape (n,), are within 1970..2106."""
    if len(times_ms) and (times_ms.min() < 0 or times_ms.max() > LAST_MS):
        raise InvalidRecord(f"times {times_ms.min()}..{times_ms.max()} ms reach outside 1970..2106")

"""What decoders give: samples by series, and the labels of series as places in a text."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# In place of the first bound of a label: it refers to something that the body does not have.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels of n series, as sent: neither checked nor sorted, and empty values not left out.

    text: uint8 (m,), read-only. ends: int64 (n,), of each series' labels in bounds. bounds:
    int64 (k, 4), name start, name end, value start, value end of each label in text, or NOWHERE.
    """

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def labels(self, row: int) -> list[tuple[str, str]]:
        """Return (name, value) of each label with a value of one series, in the order sent.

        Raises ValueError for what is not UTF-8 or not there.
        """
        bounds = self._bounds_of(row)
        if any(NOWHERE in one for one in bounds):
            raise ValueError("a label refers to a symbol that the request does not have")
        text = self.text
        return [
            (text[a:b].tobytes().decode(), text[c:d].tobytes().decode())
            for a, b, c, d in bounds
            if c < d
        ]

    def readable(self, row: int) -> dict[str, str]:
        """Return those labels of a series that can be read, where `labels` may raise."""
        found: dict[str, str] = {}
        for a, b, c, d in self._bounds_of(row):
            if NOWHERE not in {a, c} and c < d:
                with suppress(UnicodeDecodeError):
                    name = self.text[a:b].tobytes().decode()
                    found[name] = self.text[c:d].tobytes().decode()
        return found

    def _bounds_of(self, row: int) -> list[list[int]]:
        first = int(self.ends[row - 1]) if row else 0
        bounds: list[list[int]] = self.bounds[first : self.ends[row]].tolist()
        return bounds


def table_of(series: Sequence[Mapping[str, str]]) -> LabelTable:
    """Return the labels of series as a table, sorted by name."""
    words = [word.encode() for one in series for label in sorted(one.items()) for word in label]
    bounds = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum([len(word) for word in words], out=bounds[1:])
    starts_and_ends = np.stack((bounds[:-1], bounds[1:]), axis=1).reshape(-1, 4)
    ends = np.cumsum([len(one) for one in series], dtype=np.int64)
    return LabelTable(np.frombuffer(b"".join(words), dtype=np.uint8), ends, starts_and_ends)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Types and units of the series of a body.

    types: uint8 (n_series,) of MetricType. keys: uint64 (n_series,), the id of each series mixed
    with its type and unit, so that a series is announced again when they change. unit_of: gives
    the unit of a series by index, "" for none.
    """

    types: NDArray[np.uint8]
    keys: NDArray[np.uint64]
    unit_of: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples of a body by series, before anything is refused; a series may stand more than once.

    series_ids: uint64 (n_series,), 0 for one whose labels are broken. sample_series: int32 (n,),
    index of each sample's series. times_ms: int64 (n,). values: float64 (n,), NaN payloads kept.
    labels_of: gives the labels of series by index. starts_ms: int64 (n,), since when each value
    counts from zero, 0 where that is not said; (0,) where it is not said of any.
    points: int64 (n,), which point of the body each sample is a part of, -1 for none; (0,) where
    each sample is a point of its own.
    histogram_series: int64 (k,), index of the series of each of the first of n_histograms native
    histograms, which give no samples.
    """

    series_ids: NDArray[np.uint64]
    sample_series: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    labels_of: Callable[[NDArray[np.int64]], LabelTable]
    starts_ms: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    metadata: Metadata | None = None
    n_histograms: int = 0
    n_exemplars: int = 0
    histogram_series: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    points: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

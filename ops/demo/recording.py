"""The recording of a real machine: read, shifted in time, and encoded as remote write."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ops.loadgen import Body, RequestTemplate, encode_series

FOLDER = Path(__file__).parent.parent / "recording"
SAMPLES_PER_REQUEST = 5_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Incident:
    """Something provoked while the recording ran."""

    name: str
    start_ms: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples in order of time, and the incidents among them.

    labels: of each series. series: int32 (n,), index into labels. times_ms: int64 (n,),
    ascending. values: float64 (n,).
    """

    labels: list[dict[str, str]]
    series: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    incidents: list[Incident]

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return float(self.times_ms[-1] - self.times_ms[0]) / 1000

    def ending_at(self, end_ms: int) -> "Recording":
        """Return the recording moved in time, its last sample at most a minute before end_ms.

        By whole minutes, so that windows hold the same samples whenever that is.
        """
        shift_ms = (end_ms - int(self.times_ms[-1])) // MINUTE_MS * MINUTE_MS
        moved = [Incident(one.name, one.start_ms + shift_ms, one.seconds) for one in self.incidents]
        return Recording(self.labels, self.series, self.times_ms + shift_ms, self.values, moved)

    def bodies(self) -> Iterator[Body]:
        """Yield request bodies in order of time."""
        encoded = [encode_series(labels) for labels in self.labels]
        for at in range(0, len(self), SAMPLES_PER_REQUEST):
            cut = slice(at, at + SAMPLES_PER_REQUEST)
            template = RequestTemplate([encoded[series] for series in self.series[cut].tolist()])
            yield template.body(self.times_ms[cut], self.values[cut])

    def last_window(self, width_ms: int) -> tuple[int, int]:
        """Return when the last window begins that it holds as a whole, and of how many series."""
        start_ms = int(self.times_ms[-1]) // width_ms * width_ms - width_ms
        inside = self.times_ms // width_ms * width_ms == start_ms
        return start_ms, len(np.unique(self.series[inside]))

    def n_windows(self, width_ms: int, before_ms: int) -> int:
        """Return how many windows of how many series there are that begin before a time."""
        starts_ms = self.times_ms // width_ms * width_ms
        inside = starts_ms < before_ms
        pairs = np.stack([starts_ms[inside], self.series[inside].astype(np.int64)])
        return int(np.unique(pairs, axis=1).shape[1])


def read_recording(folder: Path = FOLDER, **labels: str) -> Recording:
    """Read machine.parquet and incidents.json, with more labels for every series.

    Raises OSError where they are missing.
    """
    table = pq.read_table(folder / "machine.parquet")
    series = table["series"].combine_chunks().dictionary_encode()
    times_ms = table["time_ms"].to_numpy()
    order = np.argsort(times_ms, kind="stable")
    return Recording(
        [json.loads(text) | labels for text in series.dictionary.to_pylist()],
        series.indices.to_numpy()[order],
        times_ms[order],
        table["value"].to_numpy()[order],
        [
            Incident(one["incident"], one["start_ms"], one["seconds"])
            for one in json.loads((folder / "incidents.json").read_text())
        ],
    )

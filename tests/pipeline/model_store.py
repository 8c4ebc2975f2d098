"""A plain store for tests of the window engine: what it must hold once an engine's output is in."""

from collections.abc import Iterable

import numpy as np

from pipeline.coarsen import coarsen
from pipeline.refold import refold
from pipeline.rows import ROW, Rows
from pipeline.windows import COARSE_WIDTHS_MS, Closed
from schemas.samples import SKETCHES, SampleBlock
from schemas.topics import ALL_SERIES, series_range

MINUTE = 60_000
FINER = {300_000: MINUTE, 3_600_000: 300_000}

Key = tuple[int, int]  # series id, window's start
Held = tuple[bytes, tuple[int, ...]]  # row, sketch


def columns_of(
    samples: dict[Key, float], series: Iterable[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return samples of these series as columns sorted by series and time."""
    wanted = set(series)
    kept = sorted((key, value) for key, value in samples.items() if key[0] in wanted)
    return (
        np.array([key[0] for key, _ in kept], np.uint64),
        np.array([key[1] for key, _ in kept], np.int64),
        np.array([value for _, value in kept], np.float64),
    )


def held(rows: Rows) -> dict[Key, Held]:
    """Return rows by their key."""
    found, at = {}, 0
    for row, n in zip(rows.rows, rows.sketch_lengths.tolist(), strict=True):
        sketch = tuple(rows.sketch[at : at + n].tolist())
        found[int(row["series_id"]), int(row["window_ms"])] = (row.tobytes(), sketch)
        at += n
    return found


class ModelStore:
    """Samples of one tenant, last arrived wins; streamed, recomputed and coarsened windows."""

    def __init__(self) -> None:
        self.samples: dict[Key, float] = {}
        self.rows: dict[int, dict[Key, Held]] = {}
        self.recomputed: dict[int, set[Key]] = {}
        self.n_recomputed = 0

    def insert(self, block: SampleBlock) -> None:
        """Store a block's samples."""
        keys = zip(block.series_ids.tolist(), block.times_ms.tolist(), strict=True)
        # Scalars of numpy: a Python float need not keep the payload of a NaN.
        self.samples.update(zip(keys, block.values, strict=True))

    def apply(self, closed: Iterable[Closed], partition: int = 0) -> None:
        """Take in what an engine gave for one record, as the store role does."""
        for one in closed:
            rows = self.rows.setdefault(one.width_ms, {})
            done = self.recomputed.setdefault(one.width_ms, set())
            rows.update((key, row) for key, row in held(one.rows).items() if key not in done)
            for series, first_ms, last_ms in one.stretches.tolist():
                self._recompute(one, series, first_ms, last_ms)
            for close in one.closes:
                n = close.n_partitions
                first, last = series_range(partition, n) if partition < n else ALL_SERIES
                for series in {key[0] for key in self.samples if first <= key[0] <= last}:
                    self._coarsen(series, close.width_ms, close.from_ms, close.until_ms)

    def truth(self, width_ms: int, *, sketches: bool = True) -> dict[Key, Held]:
        """Return the windows of all samples."""
        columns = columns_of(self.samples, {key[0] for key in self.samples})
        return held(refold(*columns, width_ms, sketches=sketches))

    def _recompute(self, closed: Closed, series: int, first_ms: int, last_ms: int) -> None:
        width_ms, rows = closed.width_ms, self.rows[closed.width_ms]
        columns = columns_of(self.samples, [series])
        found = held(refold(*columns, width_ms, sketches=bool(closed.flags & SKETCHES)))
        for start_ms in range(first_ms, last_ms + 1, width_ms):
            key = (series, start_ms)
            self.n_recomputed += 1
            self.recomputed[width_ms].add(key)
            rows.pop(key, None)
            if key in found:
                rows[key] = found[key]
        for coarse_ms in COARSE_WIDTHS_MS if width_ms == MINUTE else ():
            until_ms = closed.closed_until_ms // coarse_ms * coarse_ms
            from_ms = first_ms // coarse_ms * coarse_ms
            to_ms = min(last_ms // coarse_ms * coarse_ms + coarse_ms, until_ms)
            self._coarsen(series, coarse_ms, from_ms, to_ms)

    def _coarsen(self, series: int, width_ms: int, from_ms: int, until_ms: int) -> None:
        finer = self.rows.get(FINER[width_ms], {})
        keys = sorted(k for k in finer if k[0] == series and from_ms <= k[1] < until_ms)
        rows = np.frombuffer(b"".join(finer[key][0] for key in keys), dtype=ROW)
        lengths = np.array([len(finer[key][1]) for key in keys], np.uint32)
        sketch = np.array([entry for key in keys for entry in finer[key][1]], np.uint32)
        into = self.rows.setdefault(width_ms, {})
        for key in [k for k in into if k[0] == series and from_ms <= k[1] < until_ms]:
            del into[key]
        into.update(held(coarsen(Rows(rows, lengths, sketch), width_ms)))


def assert_same(got: dict[Key, Held], wanted: dict[Key, Held]) -> None:
    """Equal keys and sketches, equal columns but for the rounding of added sums."""
    assert got.keys() == wanted.keys()
    for key, (row, sketch) in wanted.items():
        assert got[key][1] == sketch, key
        one, other = (np.frombuffer(bytes_, dtype=ROW)[0] for bytes_ in (got[key][0], row))
        for name in ROW.names or ():
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-9, err_msg=name)

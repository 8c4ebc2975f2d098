"""The series of JSON points: labels from their text, and ids remembered by that text."""

import threading
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Reason, Rejection, find_fault
from pipeline.hashing import series_id_of
from pipeline.json_ingest import Point
from schemas.series import METRIC_LABEL, Announcement, MetricType

# Longer texts are read anew each time: a cache of them could be filled with anything.
_MAX_CACHED_TEXT_BYTES = 1024
# Of an entry, beside its texts: a tuple, four objects' heads, the id, and its place in the dict.
_BYTES_PER_ENTRY = 300

# The tenant's seed, the name, and the texts of labels and tags.
_Text = tuple[int, str, bytes, bytes]

_decode_labels = msgspec.json.Decoder(dict[str, str | int | float | bool] | None).decode
_TYPES = {kind.name.lower(): kind for kind in MetricType}


class JsonSeries:
    """Ids of all tenants' series by the text of their labels, so that known ones cost a look-up.

    There are two generations of at most max_bytes each. When the young one is full it becomes
    the old one, and what that one held is worked out anew if it comes again.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._young: dict[_Text, int] = {}
        self._old: dict[_Text, int] = {}
        self._n_bytes = self._n_old_bytes = 0
        # Large bodies are read in threads beside the event loop.
        self._lock = threading.Lock()

    def n_bytes(self) -> int:
        """Return about how much memory both generations take."""
        return self._n_bytes + self._n_old_bytes

    def resolve(
        self,
        tenant_seed: np.uint64,
        points: Sequence[Point],
        indexes: NDArray[np.int64],
        limits: Limits,
    ) -> tuple[NDArray[np.uint64], list[Rejection]]:
        """Return the series id of each point, shape (n,), 0 where refused, and the rejections."""
        seed = int(tenant_seed)
        texts = [(seed, point.name, bytes(point.labels), bytes(point.tags)) for point in points]
        ids = list(map(self._young.get, texts))
        rejections: list[Rejection] = []
        if None in ids:
            for at in [at for at, known in enumerate(ids) if known is None]:
                ids[at], fault = self._meet(points[at], texts[at], limits)
                if fault is not None:
                    rejections.append(Rejection(int(indexes[at]), *fault))
        return np.array(ids, dtype=np.uint64), rejections

    def _meet(
        self, point: Point, text: _Text, limits: Limits
    ) -> tuple[int, tuple[Reason, str] | None]:
        """Return the id of what the young generation lacked, or 0 and why it is refused."""
        found = self._old.get(text)
        if found is None:
            found, fault = _admit(point, np.uint64(text[0]), limits)
            if fault is not None:
                return 0, fault
        n_text = len(text[2]) + len(text[3])
        if n_text <= _MAX_CACHED_TEXT_BYTES:
            self._remember(text, found, n_text + len(text[1]) + _BYTES_PER_ENTRY)
        return found, None

    def _remember(self, text: _Text, series_id: int, n_bytes: int) -> None:
        with self._lock:
            if self._n_bytes + n_bytes > self._max_bytes:
                self._old, self._n_old_bytes = self._young, self._n_bytes
                self._young, self._n_bytes = {}, 0
            self._young[text] = series_id
            self._n_bytes += n_bytes


def _admit(
    point: Point, tenant_seed: np.uint64, limits: Limits
) -> tuple[int, tuple[Reason, str] | None]:
    """Return the id of a point's series, or 0 and why it is refused."""
    try:
        labels = labels_of_point(point)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return 0, (Reason.BAD_LABELS, f"{point.name}: labels: {error}")
    if labels[METRIC_LABEL] != point.name:
        return 0, (
            Reason.BAD_LABELS,
            f"{point.name}: label {METRIC_LABEL} is given by the point's name",
        )
    fault = find_fault(list(labels.items()), limits)
    return (series_id_of(tenant_seed, labels) if fault is None else 0), fault


def labels_of_point(point: Point) -> dict[str, str]:
    """Return a point's labels with its name; `labels` win over `tags`, empty values are dropped.

    Raises msgspec.DecodeError where they are no object of plain values.
    """
    tags = (_decode_labels(point.tags) if point.tags else None) or {}
    labels = (_decode_labels(point.labels) if point.labels else None) or {}
    merged = {name: _as_text(value) for name, value in (tags | labels).items()}
    # An empty value means "no such label", as in Prometheus.
    return {METRIC_LABEL: point.name} | {name: value for name, value in merged.items() if value}


def announcement_of_point(series_id: int, point: Point) -> Announcement:
    """Return what topic `series` is told of a point's series."""
    kind = _TYPES.get((point.type or "").lower(), MetricType.UNKNOWN)
    return Announcement(series_id, labels_of_point(point), kind, point.unit or "")


def _as_text(value: str | float | bool) -> str:  # noqa: FBT001 - a label's value as JSON has it
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

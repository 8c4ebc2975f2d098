"""The series of JSON points: labels from their text, and ids remembered by that text."""

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

_decode_labels = msgspec.json.Decoder(dict[str, str | int | float | bool] | None).decode
_TYPES = {kind.name.lower(): kind for kind in MetricType}


class JsonSeries:
    """Ids of one tenant's series by the text of their labels, so that known ones cost a look-up.

    At max_entries it is emptied; the ids are worked out anew.
    """

    def __init__(self, tenant_seed: np.uint64, max_entries: int) -> None:
        self._tenant_seed = tenant_seed
        self._max_entries = max_entries
        self._ids: dict[tuple[str, bytes, bytes], int] = {}

    def resolve(
        self, points: Sequence[Point], indexes: NDArray[np.int64], limits: Limits
    ) -> tuple[NDArray[np.uint64], list[Rejection]]:
        """Return the series id of each point, shape (n,), 0 where refused, and the rejections."""
        texts = [(point.name, bytes(point.labels), bytes(point.tags)) for point in points]
        ids = list(map(self._ids.get, texts))
        rejections: list[Rejection] = []
        if None in ids:
            for at in [at for at, known in enumerate(ids) if known is None]:
                ids[at], fault = self._admit(points[at], texts[at], limits)
                if fault is not None:
                    rejections.append(Rejection(int(indexes[at]), *fault))
        return np.array(ids, dtype=np.uint64), rejections

    def _admit(
        self, point: Point, text: tuple[str, bytes, bytes], limits: Limits
    ) -> tuple[int, tuple[Reason, str] | None]:
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
        if fault is not None:
            return 0, fault
        if len(self._ids) >= self._max_entries:
            self._ids.clear()
        found = series_id_of(self._tenant_seed, labels)
        if len(text[1]) + len(text[2]) <= _MAX_CACHED_TEXT_BYTES:
            self._ids[text] = found
        return found, None


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

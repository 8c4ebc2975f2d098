"""Labels of series that are new to an edge: checked and laid out without Python per series.

Only the plain case is compiled: ASCII, names sorted, everything within the limits. What is not
plain is left to Python (admission.find_fault), which also words the refusals.
"""

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.admission import MAX_SERIES_BYTES, Limits
from pipeline.decoded import NOWHERE, LabelTable
from schemas.series import METRIC_LABEL, SeriesBlock

_METRIC_LABEL = np.frombuffer(METRIC_LABEL.encode(), dtype=np.uint8)

# Classes of bytes in names; a label's name may start with what a metric's may, but ':'.
_NOT_IN_NAMES, _NOT_FIRST, _NOT_FIRST_OF_LABEL, _ANYWHERE = 0, 1, 2, 3


def _byte_classes() -> NDArray[np.uint8]:
    classes = np.zeros(256, dtype=np.uint8)
    for text, of_class in (
        ("0123456789./-", _NOT_FIRST),
        (":", _NOT_FIRST_OF_LABEL),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_", _ANYWHERE),
    ):
        classes[np.frombuffer(text.encode(), dtype=np.uint8)] = of_class
    return classes


_CLASSES = _byte_classes()


def are_plain(table: LabelTable, limits: Limits) -> NDArray[np.bool_]:
    """Return which series, shape (n,), have sound labels in the plain form."""
    return _are_plain(
        table.text,
        table.ends,
        table.bounds,
        _CLASSES,
        _METRIC_LABEL,
        limits.max_labels,
        limits.max_label_bytes,
    )


def lay_out(
    table: LabelTable, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint32], bytes]:
    """Return label_counts, lengths and text, as of SeriesBlock, of plain series by their rows."""
    counts, lengths, text = _lay_out(table.text, table.ends, table.bounds, rows)
    return counts, lengths, text.tobytes()


def take(block: SeriesBlock, rows: NDArray[np.int64]) -> SeriesBlock:
    """Return the block with only some of its rows, in the order given."""
    counts = block.label_counts
    word_ends = np.cumsum(counts.astype(np.int64) * 2)
    byte_ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(block.lengths, dtype=np.int64)))
    lengths, text = _gather(
        block.lengths,
        np.frombuffer(block.text, dtype=np.uint8),
        word_ends - counts * np.int64(2),
        word_ends,
        byte_ends,
        rows,
    )
    return replace(
        block,
        series_ids=block.series_ids[rows],
        label_counts=counts[rows],
        lengths=lengths,
        text=text.tobytes(),
        types=block.types[rows],
        units=[block.units[row] for row in rows.tolist()],
    )


@njit(cache=True)
def _are_plain(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    bounds: NDArray[np.int64],
    classes: NDArray[np.uint8],
    metric_label: NDArray[np.uint8],
    max_labels: int,
    max_label_bytes: int,
) -> NDArray[np.bool_]:
    plain = np.empty(len(ends), dtype=np.bool_)
    first = 0
    for row in range(len(ends)):
        plain[row] = _is_plain(
            text, bounds[first : ends[row]], classes, metric_label, max_labels, max_label_bytes
        )
        first = ends[row]
    return plain


@njit(cache=True)
def _is_plain(
    body: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    classes: NDArray[np.uint8],
    metric_label: NDArray[np.uint8],
    max_labels: int,
    max_label_bytes: int,
) -> bool:
    if len(bounds) > max_labels:
        return False
    has_metric, total = False, 0
    for at in range(len(bounds)):
        name_start, name_end, start, end = bounds[at]
        if name_start == NOWHERE or start == end:
            return False
        if max(name_end - name_start, end - start) > max_label_bytes:
            return False
        total += name_end - name_start + end - start
        if at > 0 and not _is_less(
            body, bounds[at - 1, 0], bounds[at - 1, 1], name_start, name_end
        ):
            return False
        if not _is_name(body, name_start, name_end, classes, _NOT_FIRST_OF_LABEL):
            return False
        if _is_equal(body, name_start, name_end, metric_label):
            has_metric = _is_name(body, start, end, classes, _NOT_FIRST)
        for byte in body[start:end]:
            if byte >= 0x80:
                return False
    return has_metric and total <= MAX_SERIES_BYTES


@njit(inline="always")
def _is_name(
    body: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8], not_first: int
) -> bool:
    """Whether the bytes are a name whose first byte is of a class above not_first."""
    if start == end or classes[body[start]] <= not_first:
        return False
    for byte in body[start:end]:
        if classes[byte] == _NOT_IN_NAMES:
            return False
    return True


@njit(inline="always")
def _is_equal(body: NDArray[np.uint8], start: int, end: int, text: NDArray[np.uint8]) -> bool:
    if end - start != len(text):
        return False
    for at in range(len(text)):
        if body[start + at] != text[at]:
            return False
    return True


@njit(inline="always")
def _is_less(
    body: NDArray[np.uint8], start: int, end: int, other_start: int, other_end: int
) -> bool:
    for at in range(min(end - start, other_end - other_start)):
        if body[start + at] != body[other_start + at]:
            return bool(body[start + at] < body[other_start + at])
    return end - start < other_end - other_start


@njit(cache=True)
def _lay_out(
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    bounds: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.uint16], NDArray[np.uint32], NDArray[np.uint8]]:
    n_bytes, n_labels = 0, 0
    for row in rows:
        first = ends[row - 1] if row > 0 else 0
        n_labels += ends[row] - first
        for at in range(first, ends[row]):
            n_bytes += bounds[at, 1] - bounds[at, 0] + bounds[at, 3] - bounds[at, 2]
    joined = np.empty(n_bytes, dtype=np.uint8)
    lengths = np.empty(2 * n_labels, dtype=np.uint32)
    counts = np.empty(len(rows), dtype=np.uint16)
    n_joined, n_words = 0, 0
    for i in range(len(rows)):
        row = rows[i]
        first = ends[row - 1] if row > 0 else 0
        counts[i] = ends[row] - first
        for at in range(first, ends[row]):
            for start, end in (
                (bounds[at, 0], bounds[at, 1]),
                (bounds[at, 2], bounds[at, 3]),
            ):
                joined[n_joined : n_joined + end - start] = text[start:end]
                lengths[n_words] = end - start
                n_joined += end - start
                n_words += 1
    return counts, lengths, joined


@njit(cache=True)
def _gather(
    lengths: NDArray[np.uint32],
    text: NDArray[np.uint8],
    word_starts: NDArray[np.int64],
    word_ends: NDArray[np.int64],
    byte_ends: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    n_words, n_bytes = 0, 0
    for row in rows:
        n_words += word_ends[row] - word_starts[row]
        n_bytes += byte_ends[word_ends[row]] - byte_ends[word_starts[row]]
    taken_lengths = np.empty(n_words, dtype=np.uint32)
    taken_text = np.empty(n_bytes, dtype=np.uint8)
    word, at = 0, 0
    for row in rows:
        first, last = word_starts[row], word_ends[row]
        taken_lengths[word : word + last - first] = lengths[first:last]
        word += last - first
        start, end = byte_ends[first], byte_ends[last]
        taken_text[at : at + end - start] = text[start:end]
        at += end - start
    return taken_lengths, taken_text

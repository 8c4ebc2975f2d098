"""What the edge takes in and what it refuses: reasons, limits, and the labels of a series."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.series import METRIC_LABEL

# Wider than Prometheus' classic names: dots, dashes and slashes of other senders' names are
# kept, and so is any letter beyond ASCII. Spaces, quotes and braces would break every query.
_METRIC_NAME = re.compile(r"[A-Za-z_:\u0080-\U0010ffff][A-Za-z0-9_:./\-\u0080-\U0010ffff]*")
_LABEL_NAME = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_:./\-\u0080-\U0010ffff]*")


# All labels of a series together; an announcement must fit a record.
MAX_SERIES_BYTES = 65_536


class Reason(StrEnum):
    """Why a sample was refused; the `reason` of answers and of the metric."""

    BAD_NAME = "bad_name"
    BAD_LABELS = "bad_labels"
    TOO_MANY_LABELS = "too_many_labels"
    LABEL_TOO_LONG = "label_too_long"
    NOT_A_NUMBER = "not_a_number"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE = "future"
    TOO_OLD = "too_old"
    BAD_SAMPLE = "bad_sample"
    NATIVE_HISTOGRAM = "native_histogram"
    ACTIVE_SERIES = "active_series"
    NEW_SERIES = "new_series"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused sample: its index in the request, the reason, and words for a person.

    place: of the sample among the decoded ones, -1 for what gave none; the index may be its line's.
    """

    index: int
    reason: Reason
    message: str
    place: int = -1


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken in: see the settings of the same names."""

    max_labels: int
    max_label_bytes: int
    max_future_ms: int
    retention_ms: int


def find_fault(labels: Sequence[tuple[str, str]], limits: Limits) -> tuple[Reason, str] | None:
    """Return why a series with these labels (`__name__` among them) is refused, or None."""
    metric = next((value for name, value in labels if name == METRIC_LABEL), "")
    if not _METRIC_NAME.fullmatch(metric):
        return Reason.BAD_NAME, (
            f"metric name {_shown(metric)}: a letter, '_' or ':' first, "
            "then letters, digits and _:./-"
        )
    fault = _find_size_fault(labels, limits) or _find_label_fault(labels)
    return (fault[0], f"{_shown(metric)[1:-1]}: {fault[1]}") if fault else None


def _find_label_fault(labels: Sequence[tuple[str, str]]) -> tuple[Reason, str] | None:
    names = [name for name, _ in labels]
    if len(set(names)) < len(names):
        return Reason.BAD_LABELS, "a label name stands twice"
    for name in names:
        if not _LABEL_NAME.fullmatch(name):
            return Reason.BAD_LABELS, (
                f"label name {_shown(name)}: a letter or '_' first, then letters, digits and _:./-"
            )
    return None


def _find_size_fault(
    labels: Sequence[tuple[str, str]], limits: Limits
) -> tuple[Reason, str] | None:
    if len(labels) > limits.max_labels:
        return Reason.TOO_MANY_LABELS, (
            f"{len(labels)} labels with the name, at most {limits.max_labels} (max_labels)"
        )
    sizes = [(len(name.encode()), len(value.encode())) for name, value in labels]
    for (name, _), size in zip(labels, map(max, sizes), strict=True):
        if size > limits.max_label_bytes:
            return Reason.LABEL_TOO_LONG, (
                f"label {_shown(name)} has {size} bytes, "
                f"at most {limits.max_label_bytes} (max_label_bytes)"
            )
    total = sum(map(sum, sizes))
    if total > MAX_SERIES_BYTES:
        return Reason.LABEL_TOO_LONG, (
            f"labels of {total} bytes in all, at most {MAX_SERIES_BYTES}"
        )
    return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

"""A series in words, as PromQL selects it."""

from collections.abc import Mapping

from schemas.series import METRIC_LABEL

_MOST_CHARS = 500


def shortened(labels: Mapping[str, str]) -> str:
    """Return a series as a selector for a message: its begin where it is long."""
    text = selector(labels)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."


def selector(labels: Mapping[str, str]) -> str:
    """Return a series as a selector: metric{a="b",c="d"}."""
    inside = ",".join(
        f'{name}="{_escaped(text)}"'
        for name, text in sorted(labels.items())
        if name != METRIC_LABEL
    )
    metric = labels.get(METRIC_LABEL, "")
    return f"{metric}{{{inside}}}" if inside else metric


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

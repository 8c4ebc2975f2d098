"""Labels of OTLP series: from the wire bytes of attributes to Prometheus' labels, for new series.

Rules: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", sections on metric
attributes, resource attributes and instrumentation scope.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fields import fields
from pipeline.otlp.attributes import Pairs, as_text, attributes, decoded, number_text
from pipeline.otlp.metrics import EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, SUM, SUMMARY
from pipeline.otlp.names import label_name, metric_name, unit_words
from pipeline.otlp.rows import BUCKET, COUNT, INFINITE_BUCKET, QUANTILE
from pipeline.otlp.rows import SUM as SUM_PART
from pipeline.otlp.walk import Export
from pipeline.wire import BYTES, next_field
from schemas.series import METRIC_LABEL, MetricType

_SERVICE_NAME, _SERVICE_NAMESPACE = "service.name", "service.namespace"
_INSTANCE = "service.instance.id"
_IDENTIFYING = frozenset({_SERVICE_NAME, _SERVICE_NAMESPACE, _INSTANCE})
TARGET_INFO = "target_info"
_SUFFIXES = {
    int(BUCKET): "_bucket",
    int(INFINITE_BUCKET): "_bucket",
    int(COUNT): "_count",
    int(SUM_PART): "_sum",
}
_WITH_BOUND = {int(BUCKET): "le", int(QUANTILE): "quantile"}
_SHOWN_BYTES = 200
# The number of the field that holds a point's attributes, and of a resource's and a scope's.
_ATTRIBUTES = {GAUGE: 7, SUM: 7, HISTOGRAM: 9, EXPONENTIAL_HISTOGRAM: 1, SUMMARY: 7}
_OF_RESOURCE, _OF_SCOPE = 1, 3


@dataclass(frozen=True, slots=True)
class Naming:
    """How series are named: see the settings otlp_*.

    resource_attributes: keys of resource attributes that every series gets as labels.
    """

    raw_names: bool = False
    scope_labels: bool = False
    resource_attributes: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Resource:
    """What a resource gives to all of its series, in the order of least to most weight."""

    promoted: dict[str, str]
    identity: dict[str, str]
    others: dict[str, str]


class SeriesLabels:
    """Labels of the rows of one body.

    Methods raise MalformedBody for broken attributes, BadText for what is no UTF-8.
    """

    def __init__(self, body: NDArray[np.uint8], export: Export, naming: Naming) -> None:
        self._body = body
        self._export = export
        self._naming = naming
        self._resources: dict[int, _Resource] = {}
        self._names: dict[int, str] = {}
        # The rows of a point stand together.
        self._point_at = -1
        self._point: dict[str, str] = {}

    def labels_of(self, row: int) -> dict[str, str]:
        """Return the labels of a row's series, `__name__` among them, those with a value only."""
        one = self._export.rows[row]
        part, metric, at = int(one["part"]), int(one["metric"]), int(one["at"])
        if at != self._point_at:
            self._point = self._labels_of_point(metric, at)
            self._point_at = at
        name = self._name_of(metric) + _SUFFIXES.get(part, "")
        labels = self._point | {METRIC_LABEL: name}
        if part in _WITH_BOUND:
            labels[_WITH_BOUND[part]] = number_text(_float_of(one["bound"]))
        elif part == INFINITE_BUCKET:
            labels["le"] = "+Inf"
        if not name:
            del labels[METRIC_LABEL]
        return labels

    def _labels_of_point(self, metric: int, at: int) -> dict[str, str]:
        one = self._export.metrics[metric]
        resource = self._resource(int(one["resource"]))
        _, start, end = next_field(self._body, at, len(self._body))
        point = self._body[start:end].tobytes()
        labels = resource.promoted | self._to_labels(attributes(point, _ATTRIBUTES[one["kind"]]))
        if self._naming.scope_labels:
            labels |= self._scope(self._text(one, "scope"))
        return labels | resource.identity

    def target_info_of(self, resource: int) -> dict[str, str] | None:
        """Return the labels of a resource's `target_info`, None where that would say nothing."""
        found = self._resource(resource)
        if not found.others or not found.identity:
            return None
        return found.others | found.identity | {METRIC_LABEL: TARGET_INFO}

    def type_of(self, row: int) -> MetricType:
        """Return the type of a row's series."""
        metric = self._export.metrics[self._export.rows[row]["metric"]]
        match int(metric["kind"]):
            case kind if kind == SUM:
                return MetricType.COUNTER if metric["is_monotonic"] else MetricType.GAUGE
            case kind if kind == SUMMARY:
                return MetricType.SUMMARY
            case kind if kind == GAUGE:
                return MetricType.GAUGE
            case _:
                return MetricType.HISTOGRAM

    def unit_of(self, row: int) -> str:
        """Return the unit of a row's series."""
        metric = self._export.metrics[self._export.rows[row]["metric"]]
        unit = decoded(self._text(metric, "unit"))
        return unit if self._naming.raw_names else "_".join(unit_words(unit))

    def name_as_sent(self, row: int) -> str:
        """Return the name of a row's metric for a message, whatever its bytes are."""
        metric = self._export.metrics[self._export.rows[row]["metric"]]
        return self._text(metric, "name")[:_SHOWN_BYTES].decode(errors="replace")

    def _name_of(self, at: int) -> str:
        if at not in self._names:
            metric = self._export.metrics[at]
            name = decoded(self._text(metric, "name"))
            if not self._naming.raw_names:
                name = metric_name(
                    name,
                    decoded(self._text(metric, "unit")),
                    is_gauge=metric["kind"] == GAUGE,
                    is_counter=metric["kind"] == SUM and bool(metric["is_monotonic"]),
                )
            self._names[at] = name
        return self._names[at]

    def _text(self, record: Any, field: str) -> bytes:
        return self._body[record[f"{field}_start"] : record[f"{field}_end"]].tobytes()

    def _resource(self, at: int) -> _Resource:
        if at not in self._resources:
            one = self._export.resources[at]
            text = self._body[one["start"] : one["end"]].tobytes()
            self._resources[at] = self._read_resource(attributes(text, _OF_RESOURCE))
        return self._resources[at]

    def _read_resource(self, pairs: Pairs) -> _Resource:
        texts = {key: as_text(value) for key, value in pairs}
        job = texts.get(_SERVICE_NAME, "")
        if job and texts.get(_SERVICE_NAMESPACE):
            job = f"{texts[_SERVICE_NAMESPACE]}/{job}"
        identity = {"job": job, "instance": texts.get(_INSTANCE, "")}
        wanted = self._naming.resource_attributes
        return _Resource(
            self._to_labels((key, value) for key, value in pairs if key in wanted),
            {name: value for name, value in identity.items() if value},
            self._to_labels((key, value) for key, value in pairs if key not in _IDENTIFYING),
        )

    def _scope(self, scope: bytes) -> dict[str, str]:
        labels = {"otel_scope_name": "", "otel_scope_version": ""}
        for tag, value in fields(scope):
            if tag == (1 << 3 | BYTES):
                labels["otel_scope_name"] = decoded(value)
            elif tag == (2 << 3 | BYTES):
                labels["otel_scope_version"] = decoded(value)
        pairs = ((f"otel_scope_{key}", value) for key, value in attributes(scope, _OF_SCOPE))
        labels = self._to_labels(pairs) | labels
        return {name: text for name, text in labels.items() if text}

    def _to_labels(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
        """Name attributes as labels; values of keys that become one name are joined by ';'."""
        labels: dict[str, str] = {}
        for key, value in sorted(pairs, key=lambda pair: pair[0]):
            name = key if self._naming.raw_names else label_name(key)
            text = as_text(value)
            labels[name] = f"{labels[name]};{text}" if name in labels else text
        return {name: text for name, text in labels.items() if text}


def _float_of(bits: np.uint64) -> float:
    return float(bits.view(np.float64))

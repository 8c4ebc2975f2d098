"""OTLP bodies as samples with series ids, against messages of the official protobuf."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from pipeline.admission import Reason
from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.otlp.decode import OtlpReader, Points
from pipeline.otlp.labels import Naming
from pipeline.starts import DELTA_MS
from schemas.series import MetricType
from tests.decoding import all_labels
from tests.vectors import otlp as vector
from tests.vectors.otlp import CUMULATIVE, DELTA, STALE, T_NS, Request, request
from tests.vectors.otlp_requests import requests

SEED = tenant_hash("default")
T_MS = 1_700_000_000_123
EVER = (0, 2**62)


def read(body: bytes, reader: OtlpReader | None = None, bounds: tuple[int, int] = EVER) -> Points:
    reader = reader or OtlpReader(1000, Naming())
    return reader.read(np.frombuffer(body, dtype=np.uint8), SEED, *bounds)


def samples(points: Points) -> list[tuple[object, ...]]:
    """Return labels, time and bits of the value of each sample but those of target_info."""
    decoded = points.decoded
    labels = all_labels(decoded)
    assert [series_id_of(SEED, one) for one in labels] == decoded.series_ids.tolist()
    columns = (labels, decoded.times_ms.tolist(), decoded.values.view(np.uint64).tolist())
    return sorted(
        (tuple(sorted(one.items())), time, bits)
        for one, time, bits, point in zip(*columns, decoded.points.tolist(), strict=True)
        if point >= 0
    )


@settings(max_examples=60)
@given(requests)
def test_agrees_with_the_official_runtime_and_with_what_it_remembers(request_: Request) -> None:
    body = request_.SerializeToString()
    reader = OtlpReader(1000, Naming())

    first, again = read(body, reader), read(body, reader)

    expected = vector.read(body)
    whole = [(tuple(sorted(labels.items())), at, bits) for labels, at, bits, _ in expected.samples]
    assert samples(first) == samples(again) == sorted(whole)
    assert sum(fault.n_points for fault in first.faults) == expected.n_refused
    assert first.faults == again.faults


def gauge(*points: dict[str, Any], name: str = "g", **resource: str) -> bytes:
    given_points = [{"time_unix_nano": T_NS, **point} for point in points]
    return request({"name": name, "unit": "s", "gauge": {"data_points": given_points}}, **resource)


def targets(points: Points) -> list[tuple[dict[str, str], int, float]]:
    decoded = points.decoded
    rows = zip(all_labels(decoded), decoded.times_ms.tolist(), decoded.values, strict=True)
    return [row for row in rows if row[0]["__name__"] == "target_info"]


def test_a_resource_has_a_target_info_at_its_newest_good_point() -> None:
    """What identifies the resource stands with every series, the rest in target_info."""
    of_resource = {"service_name": "s", "service_instance_id": "i", "host_name": "h"}
    points = [{"as_int": 1}, {"as_int": 2, "time_unix_nano": T_NS + 10**9}]
    body = gauge(*points, {"as_int": 3, "time_unix_nano": T_NS + 10**12}, **of_resource)

    found = read(body, bounds=(0, T_MS + 1000))

    series = all_labels(found.decoded)
    assert [(one["job"], one["instance"]) for one in series] == [("s", "i")] * 4
    target = {"__name__": "target_info", "job": "s", "instance": "i", "host_name": "h"}
    assert targets(found) == [(target, T_MS + 1000, 1.0)]


def test_resource_attributes_become_labels_where_a_setting_lists_them() -> None:
    reader = OtlpReader(1000, Naming(resource_attributes=frozenset({"host.name"})))

    found = read(gauge({"as_int": 1}, host_name="h", zone="z"), reader)

    assert all_labels(found.decoded) == [{"__name__": "g_seconds", "host_name": "h"}]


def test_names_stay_as_they_are_where_a_setting_says_so() -> None:
    point = {"as_int": 1, "attributes": [{"key": "a.b", "value": {"string_value": "c"}}]}

    found = read(gauge(point, name="x.y"), OtlpReader(1000, Naming(raw_names=True)))

    assert all_labels(found.decoded) == [{"__name__": "x.y", "a.b": "c"}]


def test_refused_points_are_counted_by_fault_and_name_their_metric() -> None:
    histogram = {
        "aggregation_temporality": CUMULATIVE,
        "data_points": [{"time_unix_nano": T_NS, "count": 1, "bucket_counts": [1, 2]}] * 3,
    }

    found = read(
        gauge({}, {"as_int": 1}, {"as_int": 1, "time_unix_nano": 0})
        + request({"name": "h", "histogram": histogram})
    )

    assert [(one.reason, one.n_points) for one in found.faults] == [
        (Reason.BAD_TIMESTAMP, 1),
        (Reason.NOT_A_NUMBER, 1),
        (Reason.BAD_SAMPLE, 3),
    ]
    assert [one.message.partition(":")[0] for one in found.faults] == ["g", "g", "h"]
    assert len(found.decoded.values) == 1


def test_a_metric_whose_name_is_no_text_costs_its_own_points() -> None:
    good, bad = gauge({"as_int": 1}), gauge({"as_int": 2}, name="caf#").replace(b"caf#", b"caf\xe9")

    found = read(good + bad)

    assert [(one.reason, one.message, one.n_points) for one in found.faults] == [
        (
            Reason.BAD_LABELS,
            "caf\ufffd: the metric's name, an attribute or the unit is not UTF-8",
            1,
        )
    ]
    assert found.decoded.values.tolist() == [1.0]


def test_a_broken_attribute_costs_the_body() -> None:
    """As the official runtime has it; what is only no text costs its own points."""
    body = gauge({"as_int": 1}, host_name="h").replace(b"\x0a\x09host.name", b"\x0a\x29host.name")

    with pytest.raises(MalformedBody, match="protobuf field of 41 bytes"):
        read(body)


def test_types_units_and_starts_go_with_each_series() -> None:
    point = {"time_unix_nano": T_NS, "start_time_unix_nano": T_NS - 10**9, "as_int": 3}
    bodies = [
        request(
            {
                "name": "x",
                "unit": "By",
                "sum": {
                    "aggregation_temporality": temporality,
                    "is_monotonic": is_monotonic,
                    "data_points": [point],
                },
            }
        )
        for temporality, is_monotonic in ((CUMULATIVE, True), (DELTA, True), (CUMULATIVE, False))
    ]

    decoded = read(b"".join(bodies)).decoded

    assert decoded.metadata is not None
    kinds = [MetricType.COUNTER, MetricType.COUNTER, MetricType.GAUGE]
    assert decoded.metadata.types.tolist() == kinds
    assert [decoded.metadata.unit_of(at) for at in range(3)] == ["bytes"] * 3
    assert decoded.starts_ms.tolist() == [T_MS - 1000, T_MS - DELTA_MS, 0]


def test_what_was_not_recorded_is_a_stale_marker_without_a_start() -> None:
    point = {"time_unix_nano": T_NS, "start_time_unix_nano": T_NS - 1, "flags": 1}
    total = {"aggregation_temporality": DELTA, "is_monotonic": True, "data_points": [point]}

    decoded = read(request({"name": "x", "sum": total})).decoded

    assert decoded.values.view(np.uint64).tolist() == [STALE]
    assert decoded.starts_ms.tolist() == [0]

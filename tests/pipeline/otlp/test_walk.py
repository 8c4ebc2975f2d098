"""OTLP metrics from their wire bytes, against messages of the official protobuf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import MalformedBody
from pipeline.hashing import tenant_hash
from pipeline.otlp.attributes import BadText
from pipeline.otlp.labels import Naming, SeriesLabels
from pipeline.otlp.walk import decode_export
from tests.vectors import otlp as vector
from tests.vectors.otlp import CUMULATIVE, DELTA, STALE, T_NS, Expected, Request, request
from tests.vectors.otlp_requests import requests

SEED = tenant_hash("default")
T_MS = 1_700_000_000_123


def as_array(body: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(body, dtype=np.uint8)


def decode(body: bytes, naming: Naming = Naming()) -> Expected:  # noqa: B008 - frozen
    """Decode as the edge does, and resolve the labels of every row."""
    array = as_array(body)
    export = decode_export(array, SEED, with_scope=naming.scope_labels)
    series = SeriesLabels(array, export, naming)
    found = Expected()
    keys: dict[int, dict[str, str]] = {}
    for at, (row, bits) in enumerate(zip(export.rows, export.values.view(np.uint64), strict=True)):
        if row["fault"]:
            found.n_refused += 1
            continue
        labels = series.labels_of(at)
        assert keys.setdefault(int(row["key"]), labels) == labels
        start = None if row["is_delta"] else int(row["start_ms"])
        found.samples.append((labels, int(row["time_ms"]), int(bits), start))
    return found


def sorted_samples(found: Expected) -> list[tuple[object, ...]]:
    return sorted(
        (tuple(sorted(labels.items())), time, bits, -1 if start is None else start)
        for labels, time, bits, start in found.samples
    )


@given(requests, st.booleans())
def test_agrees_with_the_official_runtime(request_: Request, with_scope: bool) -> None:
    body = request_.SerializeToString()

    found = decode(body, Naming(scope_labels=with_scope))

    expected = vector.read(body, with_scope=with_scope)
    assert sorted_samples(found) == sorted_samples(expected)
    assert found.n_refused == expected.n_refused


@given(requests, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3))
def test_a_damaged_body_is_refused_or_read_as_the_official_runtime_does(
    request_: Request, damages: list[tuple[int, int]]
) -> None:
    body = bytearray(request_.SerializeToString())
    for at, byte in damages:
        if body:
            body[at % len(body)] = byte
    try:
        found = decode(bytes(body))
    except (MalformedBody, BadText):
        return
    expected = vector.read(bytes(body))
    assert sorted_samples(found) == sorted_samples(expected)
    assert found.n_refused == expected.n_refused


def by_series(found: Expected) -> dict[str, float]:
    """Return the value of each series by its name and its last label."""
    values = {}
    for labels, _, bits, _ in found.samples:
        name = labels.pop("__name__")
        shown = "".join(f"{{{key}={value}}}" for key, value in sorted(labels.items()))
        values[name + shown] = float(np.uint64(bits).view(np.float64))
    return values


def exponential(**point: object) -> bytes:
    histogram = {
        "aggregation_temporality": CUMULATIVE,
        "data_points": [{"time_unix_nano": T_NS, **point}],
    }
    return request({"name": "h", "exponential_histogram": histogram})


def test_an_exponential_histogram_becomes_classic_buckets() -> None:
    """Scale 0: 2 in (1, 2], none in (2, 4], 3 in (4, 8]; 1 zero; 4 in [-2, -1)."""
    body = exponential(
        count=10,
        sum=5.5,
        zero_count=1,
        positive={"offset": 0, "bucket_counts": [2, 0, 3]},
        negative={"offset": 0, "bucket_counts": [4, 0]},
    )

    assert by_series(decode(body)) == {
        "h_bucket{le=-2}": 0,
        "h_bucket{le=-1}": 4,
        "h_bucket{le=0}": 5,
        "h_bucket{le=1}": 5,
        "h_bucket{le=2}": 7,
        "h_bucket{le=4}": 7,
        "h_bucket{le=8}": 10,
        "h_bucket{le=+Inf}": 10,
        "h_count": 10,
        "h_sum": 5.5,
    }


def test_fine_buckets_are_joined() -> None:
    """At scale 4 the 16 buckets of (1, 2] become 4, a factor of the fourth root of 2 apart."""
    body = exponential(count=136, scale=4, positive={"bucket_counts": list(range(1, 17))})

    found = by_series(decode(body))

    bounds = [2.0 ** (i / 4) for i in range(5)]
    counts = [found[f"h_bucket{{le={bound!r}}}".replace(".0}", "}")] for bound in bounds]
    assert counts == [0, 10, 36, 78, 136]


def test_buckets_over_many_orders_of_magnitude_are_bounded() -> None:
    body = exponential(count=4000, scale=2, positive={"offset": -2000, "bucket_counts": [1] * 4000})

    found = by_series(decode(body))

    assert len(found) == 4000 // 32 + 1 + 3
    assert found["h_bucket{le=1}"] == 2000


@pytest.mark.parametrize(
    "point",
    [
        {"count": 1, "bucket_counts": [1, 0], "explicit_bounds": []},
        {"count": 1, "bucket_counts": [], "explicit_bounds": [1.0]},
        {"count": 1, "bucket_counts": [1, 0, 0], "explicit_bounds": [2.0, 1.0]},
        {"count": 1, "bucket_counts": [1, 0, 0], "explicit_bounds": [1.0, 1.0]},
        {"count": 1, "bucket_counts": [1, 0], "explicit_bounds": [float("nan")]},
        {"count": 1, "bucket_counts": [0] * 4098, "explicit_bounds": list(range(4097))},
        {"time_unix_nano": 0},
    ],
)
def test_a_histogram_that_cannot_be_is_refused(point: dict[str, object]) -> None:
    """The point before it is kept."""
    points = [{"time_unix_nano": T_NS, "count": 0}, {"time_unix_nano": T_NS, **point}]
    histogram = {"aggregation_temporality": DELTA, "data_points": points}

    found = decode(request({"name": "h", "histogram": histogram}))

    assert (len(found.samples), found.n_refused) == (1, 1)


def test_what_was_not_recorded_is_a_stale_marker() -> None:
    """Count and sum end, too, though the point has no sum."""
    point = {"time_unix_nano": T_NS, "flags": 1, "explicit_bounds": [1.0], "bucket_counts": [0, 0]}
    histogram = {"aggregation_temporality": CUMULATIVE, "data_points": [point]}

    found = decode(request({"name": "h", "histogram": histogram}))

    assert {bits for _, _, bits, _ in found.samples} == {STALE}
    assert set(by_series(found)) == {"h_bucket{le=1}", "h_bucket{le=+Inf}", "h_count", "h_sum"}


def test_starts_are_those_of_what_counts_from_zero() -> None:
    """A counter's start is told, a delta's is its own, and other sums have none."""
    point = {"time_unix_nano": T_NS, "start_time_unix_nano": T_NS - 10**9, "as_int": 3}
    starts = []
    for temporality, is_monotonic in ((CUMULATIVE, True), (DELTA, True), (CUMULATIVE, False)):
        total = {
            "aggregation_temporality": temporality,
            "is_monotonic": is_monotonic,
            "data_points": [point],
        }
        (sample,) = decode(request({"name": "x", "sum": total})).samples
        starts.append(sample[3])

    assert starts == [T_MS - 1000, None, 0]


def test_series_are_told_apart_by_all_that_was_sent() -> None:
    """One metric of two resources, units, types and attributes: as many keys."""
    bodies = [
        request({"name": "a", "gauge": {"data_points": [{"time_unix_nano": T_NS, "as_int": 1}]}}),
        request(
            {"name": "a", "gauge": {"data_points": [{"time_unix_nano": T_NS, "as_int": 1}]}}, x="y"
        ),
        request(
            {
                "name": "a",
                "unit": "s",
                "gauge": {"data_points": [{"time_unix_nano": T_NS, "as_int": 1}]},
            }
        ),
        request(
            {
                "name": "a",
                "sum": {
                    "aggregation_temporality": 2,
                    "data_points": [{"time_unix_nano": T_NS, "as_int": 1}],
                },
            }
        ),
    ]

    keys = {int(decode_export(as_array(body), SEED).rows["key"][0]) for body in bodies}
    of_another = decode_export(as_array(bodies[0]), tenant_hash("another")).rows["key"][0]

    assert len(keys | {int(of_another)}) == 5


@pytest.mark.parametrize(
    "body",
    [b"\x0a", b"\x0a\xff", b"\x0a\x02\x12\x05", b"\xff" * 11, b"\x0f", b"\x02\x00", b"\x0b\x0c"],
)
def test_a_broken_body_says_where(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="broken near byte"):
        decode_export(as_array(body), SEED)

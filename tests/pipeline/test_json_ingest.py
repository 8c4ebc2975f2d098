"""JSON ingest from its body."""

import json

import numpy as np
import pytest

from pipeline import json_series
from pipeline.admission import Limits, Reason
from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.json_ingest import Point, decode_points
from pipeline.json_series import JsonSeries, announcement_of_point, labels_of_point
from schemas.series import MetricType

SEED = tenant_hash("t")
NOW_MS = 1_700_000_000_000
LIMITS = Limits(max_labels=4, max_label_bytes=20, max_future_ms=600_000, retention_ms=86_400_000)


def body(*points: object) -> bytes:
    return json.dumps({"metrics": points}).encode()


def test_a_point_without_timestamp_gets_the_time_of_receipt() -> None:
    batch = decode_points(body({"name": "a", "value": 1}), NOW_MS)

    assert batch.times_ms.tolist() == [NOW_MS]
    assert batch.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("timestamp", "time_ms"),
    [
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000_123.9, 1_700_000_000_123),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31T13:00:00.250+01:00", 1_769_860_800_250),
        (10**30, np.iinfo(np.int64).max),
    ],
)
def test_timestamps_are_ms_or_rfc_3339(timestamp: object, time_ms: int) -> None:
    batch = decode_points(body({"name": "a", "value": 1, "timestamp": timestamp}), NOW_MS)

    assert batch.times_ms.tolist() == [time_ms]


def test_bad_points_are_refused_one_by_one_and_the_good_ones_kept() -> None:
    batch = decode_points(
        body(
            {"name": "good", "value": 1},
            {"name": "a", "value": "1"},
            {"value": 1},
            {"name": "a", "value": 1, "timestamp": "soon"},
            {"name": "a", "value": True},
            7,
            {"name": "a"},
            {"name": "a", "value": 1, "timestamp": [1]},
            {"name": "good", "value": 2, "timestamp": 5},
        ),
        NOW_MS,
    )

    assert batch.indexes.tolist() == [0, 8]
    assert batch.values.tolist() == [1.0, 2.0]
    assert {one.index: one.reason for one in batch.rejections} == {
        1: Reason.NOT_A_NUMBER,
        2: Reason.BAD_NAME,
        3: Reason.BAD_TIMESTAMP,
        4: Reason.NOT_A_NUMBER,
        5: Reason.BAD_SAMPLE,
        6: Reason.NOT_A_NUMBER,
        7: Reason.BAD_TIMESTAMP,
    }


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"metrics": 5}', b"\xff\xfe"])
def test_a_body_of_another_form_says_what_is_expected(text: bytes) -> None:
    with pytest.raises(MalformedBody, match="expected"):
        decode_points(text, NOW_MS)


def test_ids_are_those_of_the_labels_however_they_are_written() -> None:
    series = JsonSeries(1 << 20)
    batch = decode_points(
        b'{"metrics":[{"name":"a","value":1,"labels":{"x":"1","y":"2"}},'
        b'{"name":"a","value":1,"labels":{ "y":"2", "x":1 }},'
        b'{"name":"a","value":1,"tags":{"x":"0","y":"2"},"labels":{"x":"1","z":""}}]}',
        NOW_MS,
    )

    ids, rejections = series.resolve(SEED, batch.points, batch.indexes, LIMITS)

    expected = series_id_of(SEED, {"__name__": "a", "x": "1", "y": "2"})
    assert ids.tolist() == [expected] * 3
    assert rejections == []
    again, _ = series.resolve(SEED, batch.points, batch.indexes, LIMITS)
    assert again.tolist() == ids.tolist()


def test_labels_that_are_no_object_of_plain_values_are_refused() -> None:
    series = JsonSeries(1 << 20)
    batch = decode_points(
        body(
            {"name": "a", "value": 1, "labels": {"x": [1]}},
            {"name": "a", "value": 1, "labels": "x"},
            {"name": "a", "value": 1, "labels": None},
            {"name": "a", "value": 1, "labels": {"__name__": "b"}},
        ),
        NOW_MS,
    )

    ids, rejections = series.resolve(SEED, batch.points, batch.indexes, LIMITS)

    assert [(one.index, one.reason) for one in rejections] == [
        (0, Reason.BAD_LABELS),
        (1, Reason.BAD_LABELS),
        (3, Reason.BAD_LABELS),
    ]
    assert ids.tolist()[:2] == [0, 0]
    assert ids[2] != 0


def test_memory_for_ids_is_bounded_and_ids_stay_right() -> None:
    """Room for some 30 entries in all, 100 series of two tenants with the same texts."""
    series = JsonSeries(5_000)
    batch = decode_points(body(*({"name": f"m{i}", "value": 1} for i in range(100))), NOW_MS)
    seeds = (SEED, tenant_hash("u"))

    for seed in (*seeds, *seeds):
        ids, _ = series.resolve(seed, batch.points, batch.indexes, LIMITS)

        assert ids.tolist() == [series_id_of(seed, {"__name__": f"m{i}"}) for i in range(100)]
        assert len(series._young) + len(series._old) <= 10_000 // 300
        assert series.n_bytes() <= 10_000


def test_a_series_that_comes_again_and_again_is_worked_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One live series among others that come once: it moves on before its generation goes."""
    met: list[str] = []
    admit = json_series._admit

    def admit_and_note(point: Point, seed: np.uint64, limits: Limits) -> object:
        met.append(point.name)
        return admit(point, seed, limits)

    monkeypatch.setattr(json_series, "_admit", admit_and_note)
    series = JsonSeries(5_000)
    for i in range(100):
        batch = decode_points(
            body({"name": "live", "value": 1}, {"name": f"m{i}", "value": 1}), NOW_MS
        )
        series.resolve(SEED, batch.points, batch.indexes, LIMITS)

    assert met.count("live") == 1
    assert len(met) == 101


def test_an_announcement_tells_labels_type_and_unit() -> None:
    point = {"name": "a", "value": 1, "labels": {"b": True}, "type": "Counter", "unit": "s"}
    batch = decode_points(body(point), NOW_MS)

    told = announcement_of_point(7, batch.points[0])

    assert told.labels == labels_of_point(batch.points[0]) == {"__name__": "a", "b": "true"}
    assert (told.series_id, told.type, told.unit) == (7, MetricType.COUNTER, "s")

"""Refused samples are counted for people: by hour, reason, metric, and in the log."""

from pathlib import Path

import numpy as np
import structlog
from structlog.testing import capture_logs

from pipeline.admission import Reason
from pipeline.hashing import tenant_hash
from pipeline.refusals import MAX_PLACES
from pipeline.remote_write_2 import decode_request
from tests.vectors.remote_write import WriteRequest2
from topology.edge.admit import admit
from topology.edge.intake import Intake, Registry
from topology.edge.rejections import HOUR_MS, Rejections, Told, told_of
from topology.settings import load_settings
from topology.tenants import Tenant

T0 = 480_000 * HOUR_MS
LOG: structlog.stdlib.BoundLogger = structlog.get_logger("edge")


def refused(reason: Reason, n_samples: int, name: str) -> Intake:
    """Return what a request gives of which so many samples are refused."""
    none = np.empty(0)
    tenant = Tenant("acme", "free", 1)
    intake = Intake(tenant, none.astype(np.uint64), none.astype(np.int64), none)
    intake.refusals.add_many(np.arange(n_samples), reason, lambda _: f"{name} is wrong")
    intake.labels_of = lambda places: [{"__name__": name, "job": "j"}] * len(places)
    return intake


def note(rejections: Rejections, intake: Intake, at_ms: int, tenant: str = "acme") -> None:
    rejections.note(tenant, told_of(intake), at_ms)


def test_counts_grow_within_an_hour_and_are_told_when_they_have_changed() -> None:
    rejections = Rejections(LOG)
    note(rejections, refused(Reason.FUTURE, 5, "a"), T0)
    note(rejections, refused(Reason.FUTURE, 12, "b"), T0 + 1)
    first = rejections.take(T0 + 2)
    note(rejections, refused(Reason.FUTURE, 3, "a"), T0 + 3)
    second = rejections.take(T0 + 4)
    note(rejections, refused(Reason.FUTURE, 1, "a"), T0 + HOUR_MS)

    assert [(one.metric, one.count) for one in first] == [("a", 5), ("b", 12)]
    assert [(one.metric, one.count, one.hour_ms) for one in second] == [("a", 8, T0)]
    assert second[0].labels == {"__name__": "a", "job": "j"}
    assert second[0].message == "a is wrong"
    assert [(one.hour_ms, one.count) for one in rejections.take(T0 + HOUR_MS)] == [
        (T0 + HOUR_MS, 1)
    ]
    assert rejections.take(T0 + HOUR_MS) == []


def test_each_sample_counts_under_its_own_metric() -> None:
    """Of two metrics in one body, each with the first message about it, as far as there is one."""
    intake = refused(Reason.FUTURE, 0, "")
    intake.refusals.add_many(np.arange(30), Reason.FUTURE, "message {}".format)
    intake.labels_of = lambda places: [{"__name__": f"m{at // 8}"} for at in places]

    told = told_of(intake)[Reason.FUTURE]

    assert [(one.metric, one.count, one.message) for one in told] == [
        ("m0", 8, "message 0"),
        ("m1", 8, "message 8"),
        ("m2", 8, ""),
        ("m3", 6, ""),
    ]


def test_what_has_no_labels_or_is_beyond_the_bound_counts_without_a_metric() -> None:
    intake = refused(Reason.BAD_SAMPLE, 2, "a")
    intake.labels_of = lambda places: [{}] * len(places)
    many = refused(Reason.FUTURE, MAX_PLACES + 7, "a")
    lines = refused(Reason.FUTURE, 1, "a")
    lines.refusals.add_alike(20, 3, Reason.BAD_SAMPLE, "no sample")

    assert told_of(intake)[Reason.BAD_SAMPLE] == [Told("", {}, "a is wrong", 2)]
    assert [(one.metric, one.count) for one in told_of(many)[Reason.FUTURE]] == [
        ("a", MAX_PLACES),
        ("", 7),
    ]
    assert told_of(lines)[Reason.BAD_SAMPLE] == [Told("", {}, "no sample", 20)]


def test_a_native_histogram_and_a_series_that_is_not_utf8_count_under_their_metrics(
    tmp_path: Path,
) -> None:
    """As far as they can be read; the message about each names the series."""
    request = WriteRequest2(symbols=["", "__name__", "h", "job", "j", "bad", "@@"])
    for references in ([1, 2, 3, 4], [1, 2], [1, 5, 3, 6]):
        request.timeseries.add(labels_refs=references)
    for of, n_histograms in enumerate((2, 1)):
        for _ in range(n_histograms):
            request.timeseries[of].histograms.add()
    request.timeseries[2].samples.add(value=1, timestamp=T0)
    body = request.SerializeToString().replace(b"@@", b"\xff\xfe")
    decoded = decode_request(np.frombuffer(body, dtype=np.uint8), tenant_hash("acme"))

    registry = Registry(load_settings(data_dir=tmp_path))
    intake = admit(registry, decoded, Tenant("acme", "free", 1), T0)
    told = told_of(intake)

    words = "native histograms are not taken; send classic buckets"
    assert told == {
        Reason.BAD_LABELS: [
            Told("bad", {"__name__": "bad"}, "bad: a label's name or value is not UTF-8", 1)
        ],
        Reason.NATIVE_HISTOGRAM: [
            Told("h", {"__name__": "h", "job": "j"}, f'h{{job="j"}}: {words}', 3)
        ],
    }


def test_an_example_shows_the_begin_of_what_is_long() -> None:
    intake = refused(Reason.BAD_LABELS, 1, "a" * 1_000)
    intake.labels_of = lambda _: [
        {"__name__": "a", "x": "y" * 1_000_000} | {f"l{at}": "" for at in range(1_000)}
    ]

    (example,) = told_of(intake)[Reason.BAD_LABELS]

    assert example.labels["x"] == "y" * 256 + "..."
    assert len(example.labels) == 64
    assert len(example.message) < 600


def test_a_line_a_minute_says_how_many_there_were() -> None:
    rejections = Rejections(LOG)
    with capture_logs() as lines:
        for second in (0, 10, 59, 60, 61):
            note(rejections, refused(Reason.FUTURE, 2, "a"), T0 + second * 1000)

    assert [(line["count"], line["example"]) for line in lines] == [
        (2, "a is wrong"),
        (6, "a is wrong"),
    ]


def test_memory_is_bounded_by_tenant_and_the_sum_stays_exact() -> None:
    rejections = Rejections(LOG)
    for at in range(1_500):
        note(rejections, refused(Reason.FUTURE, 1, f"m{at}"), T0)
    note(rejections, refused(Reason.FUTURE, 1, "own"), T0, "other")

    told = rejections.take(T0)

    own = [one for one in told if one.tenant == "acme"]
    assert len(own) == 1_001
    assert sum(one.count for one in own) == 1_500
    assert next(one.count for one in own if not one.metric) == 500
    assert [one.metric for one in told if one.tenant == "other"] == ["own"]

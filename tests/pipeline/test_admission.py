"""What is taken in and what is refused."""

import pytest

from pipeline.admission import MAX_SERIES_BYTES, Limits, Reason, find_fault

LIMITS = Limits(max_labels=4, max_label_bytes=20, max_future_ms=600_000, retention_ms=86_400_000)


@pytest.mark.parametrize(
    "labels",
    [
        [("__name__", "up")],
        [("__name__", "node:cpu:rate5m"), ("job", 'x y\n"{}')],
        [("__name__", "http.server/req-s"), ("k8s.pod", "1")],
        [("__name__", "température")],
    ],
)
def test_sound_series_are_taken(labels: list[tuple[str, str]]) -> None:
    assert find_fault(labels, LIMITS) is None


@pytest.mark.parametrize(
    ("labels", "reason", "says"),
    [
        ([], Reason.BAD_NAME, "metric name ''"),
        ([("__name__", "bad name")], Reason.BAD_NAME, "'bad name'"),
        ([("__name__", "1abc")], Reason.BAD_NAME, "'1abc'"),
        ([("__name__", "a{b}")], Reason.BAD_NAME, "a{b}"),
        ([("__name__", "a\n")], Reason.BAD_NAME, r"'a\\n'"),
        ([("__name__", "a"), ("", "x")], Reason.BAD_LABELS, "label name ''"),
        ([("__name__", "a"), ("b c", "x")], Reason.BAD_LABELS, "'b c'"),
        ([("__name__", "a"), ("b", "1"), ("b", "2")], Reason.BAD_LABELS, "twice"),
        ([("__name__", "a"), ("b", "x" * 21)], Reason.LABEL_TOO_LONG, "21 bytes, at most 20"),
        (
            [("__name__", "a"), *((f"l{i}", "x") for i in range(4))],
            Reason.TOO_MANY_LABELS,
            "5 labels with the name, at most 4",
        ),
    ],
)
def test_faulty_series_are_refused_with_a_reason(
    labels: list[tuple[str, str]], reason: Reason, says: str
) -> None:
    fault = find_fault(labels, LIMITS)

    assert fault is not None
    assert fault[0] is reason
    assert says.replace("\\\\", "\\") in fault[1]


def test_a_series_must_fit_a_record() -> None:
    wide = Limits(1000, 60_000, 1, 1)
    fault = find_fault([("__name__", "a"), ("b", "x" * 40_000), ("c", "x" * 40_000)], wide)

    assert fault is not None
    assert str(MAX_SERIES_BYTES) in fault[1]

"""Reasons in words."""

import pytest

from pipeline.anomaly.reasons import Reason, words

MONDAY_14_S = 1_767_621_600.0  # 2026-01-05 14:00 UTC


@pytest.mark.parametrize(
    ("reason", "value", "expected", "text"),
    [
        (Reason.NONE, 1, 1, ""),
        (Reason.LEARNING, 1, 1, "learning"),
        (Reason.LEVEL, 32, 10, "3.2x the usual level for Monday 14:00"),
        (Reason.LEVEL, 4, 10, "60% below the usual level for Monday 14:00"),
        (Reason.LEVEL, 9990, 10, "999.0x the usual level for Monday 14:00"),
        (Reason.LEVEL, 2.8e307, 0.6, ">1000x the usual level for Monday 14:00"),
        (Reason.LEVEL, -2.8e307, -1e-9, ">1000x the usual level for Monday 14:00"),
        (Reason.LEVEL, 5, 0, "5 where 0 is the usual level for Monday 14:00"),
        (Reason.RANGE, 32, 10, "new high, 3.2x the usual level for Monday 14:00"),
        (Reason.RANGE, 4, 10, "new low, 60% below the usual level for Monday 14:00"),
        (
            Reason.PATTERN,
            5,
            0,
            "pattern not seen before, 5 where 0 is the usual level for Monday 14:00",
        ),
        (Reason.STOPPED, 7, 3.5, "stopped changing at 7, 2.0x the usual level for Monday 14:00"),
        (Reason.DRIFT, 4, 10, "for hours below the usual level for Monday 14:00"),
    ],
)
def test_words_say_how_far_and_when(
    reason: Reason, value: float, expected: float, text: str
) -> None:
    assert words(reason, value, expected, MONDAY_14_S) == text

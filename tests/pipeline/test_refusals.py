"""What is refused is counted to the last sample and worded for the first ones."""

import numpy as np

from pipeline.admission import Limits, Reason
from pipeline.refusals import Refusals, refuse_times

NOW_MS = 1_700_000_000_000
LIMITS = Limits(max_labels=4, max_label_bytes=20, max_future_ms=600_000, retention_ms=86_400_000)


def test_times_are_bound_on_both_sides() -> None:
    """The bounds themselves are good; the message names the time, the bound and the unit."""
    offsets = [0, 600_000, 600_001, -86_400_000, -86_400_001]
    refusals = Refusals()

    good = refuse_times(np.array(offsets) + NOW_MS, NOW_MS, LIMITS, refusals, "{}: ".format)

    assert good.tolist() == [True, True, False, True, False]
    first, second = refusals.in_order()
    assert (first.index, first.reason) == (2, Reason.FUTURE)
    assert (second.index, second.reason) == (4, Reason.TOO_OLD)
    assert first.message.startswith("2: timestamp 1700000600001")
    assert "at most 600 s" in first.message
    assert "milliseconds" in second.message


def test_a_million_bad_samples_are_counted_and_ten_are_worded() -> None:
    refusals = Refusals()
    times = np.full(1_000_000, NOW_MS + 600_001)
    times[0] = 0

    good = refuse_times(times, NOW_MS, LIMITS, refusals)
    refusals.add_alike(500, 1_000_000, Reason.NATIVE_HISTOGRAM, "no")
    refusals.add(7, Reason.BAD_NAME, "no")

    assert not good.any()
    assert len(refusals) == 1_000_501
    assert refusals.counts[Reason.FUTURE] == 999_999
    assert refusals.counts[Reason.NATIVE_HISTOGRAM] == 500
    assert len(refusals.examples) == 10


def test_samples_that_one_sentence_is_about_are_numbered() -> None:
    refusals = Refusals()

    refusals.add_alike(3, 40, Reason.NATIVE_HISTOGRAM, "no")
    refusals.add_alike(0, 50, Reason.NATIVE_HISTOGRAM, "no")

    assert [one.index for one in refusals.examples] == [40, 41, 42]
    assert refusals.counts == {Reason.NATIVE_HISTOGRAM: 3}


def test_a_reason_that_nothing_was_refused_for_is_not_told() -> None:
    refusals = Refusals()

    refuse_times(np.array([NOW_MS + 600_001]), NOW_MS, LIMITS, refusals)

    assert dict(refusals.counts) == {Reason.FUTURE: 1}

"""The watermark of a tenant on a partition."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.watermark import BEGINNING_MS, Watermark


def make() -> Watermark:
    return Watermark(allowed_lateness_ms=10, skew_ms=2, idle_ms=15)


def test_it_trails_the_newest_sample_by_the_lateness() -> None:
    watermark = make()
    watermark.observe(newest_ms=100, receive_ms=105)

    assert watermark.value_ms == 90


def test_a_clock_that_is_ahead_is_believed_up_to_the_receive_time() -> None:
    watermark = make()
    watermark.observe(newest_ms=10_000, receive_ms=105)

    assert watermark.value_ms == 105 + 2 - 10


def test_the_log_moves_it_only_after_silence() -> None:
    watermark = make()
    watermark.observe(newest_ms=100, receive_ms=100)

    watermark.advance_idle(114)
    assert watermark.value_ms == 90

    watermark.advance_idle(115)
    assert watermark.value_ms == 105


@given(st.lists(st.tuples(st.booleans(), st.integers(-1000, 1000), st.integers(-1000, 1000))))
def test_it_never_moves_back(events: list[tuple[bool, int, int]]) -> None:
    watermark, before = make(), BEGINNING_MS
    for is_block, newest_ms, receive_ms in events:
        if is_block:
            watermark.observe(newest_ms, receive_ms)
        else:
            watermark.advance_idle(receive_ms)
        assert watermark.value_ms >= before
        before = watermark.value_ms

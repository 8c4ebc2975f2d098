"""Which samples a replay is given, and where it is kept."""

from pathlib import Path

import numpy as np
import pytest

from ops.replay.plan import ReplayError, Span, place_of, span_of
from pipeline.tenant_windows import blind_until
from pipeline.windows import WindowConfig
from schemas.samples import SampleBlock, tick
from topology.settings import load_settings

SPAN = Span(from_ms=1_000_000, to_ms=2_000_000, before_ms=100_000, after_ms=50_000)


def block(*times_ms: int) -> SampleBlock:
    times = np.array(times_ms, np.int64)
    return SampleBlock(
        "t", 0, 30, np.arange(len(times), dtype=np.uint64), times, times.astype(np.float64)
    )


def times(*blocks: SampleBlock) -> list[list[int]]:
    return [one.times_ms.tolist() for one in SPAN.cut(list(blocks))]


def test_what_is_outside_is_left_out_and_ticks_stay() -> None:
    """Samples somewhat before and after the windows belong to them."""
    assert times(block(899_999, 900_000, 2_049_999), block(5), tick(7)) == [
        [900_000, 2_049_999],
        [],
    ]


def test_of_what_comes_after_the_newest_of_a_block_stays() -> None:
    """It moves the watermark as all of them would."""
    assert times(block(2_050_000, 2_070_000, 2_060_000)) == [[2_070_000]]
    assert times(block(1_500_000, 2_060_000, 2_050_000)) == [[1_500_000, 2_060_000]]


def test_a_span_is_in_whole_seconds_inside_what_is_asked_for() -> None:
    span = span_of(load_settings(), WindowConfig(), 1_000_001, 2_000_999)

    assert (span.from_ms, span.to_ms) == (1_001_000, 2_000_000)


def test_the_engine_is_sure_of_the_first_window() -> None:
    """Begun blind at its first sample, it streams all windows from the span's begin on."""
    span = span_of(load_settings(), WindowConfig(), 10_000_000, 20_000_000)

    assert blind_until(span.begin_ms, 60_000) <= span.from_ms


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ReplayError, match="not before"):
        span_of(load_settings(), WindowConfig(), 2_000, 2_000)


@pytest.mark.parametrize("name", ["", "../x", "Replay", "1x", "a-b", "a" * 64])
def test_a_name_that_is_no_table_name_is_refused(name: str) -> None:
    with pytest.raises(ReplayError, match="lower-case"):
        place_of(load_settings(), name)


def test_a_replay_has_a_store_of_its_own(tmp_path: Path) -> None:
    embedded = place_of(load_settings(data_dir=tmp_path), "a")
    server = place_of(load_settings(data_dir=tmp_path, store="clickhouse://u:p@h:1/live"), "a")

    assert embedded.store_url == f"chdb://{tmp_path}/replays/a/chdb"
    assert server.store_url == "clickhouse://u:p@h:1/live_replay_a"
    assert server.folder == embedded.folder == tmp_path / "replays" / "a"

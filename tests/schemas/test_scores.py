"""The record of topic `scores`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.errors import InvalidRecord
from schemas.scores import COLUMNS, ScoreBlock, decode_scores, encode_scores
from tests.strategies import times_ms


@st.composite
def score_blocks(draw: st.DrawFn) -> ScoreBlock:
    n = draw(st.integers(0, 10))
    columns: tuple[Any, ...] = (
        draw(hnp.arrays(np.int64, n, elements=times_ms)),
        draw(hnp.arrays(np.uint64, n)),
        *draw(hnp.arrays(np.float64, (4, n))),
        *draw(hnp.arrays(np.float32, (3, n))),
        draw(hnp.arrays(np.uint8, n)),
    )
    return ScoreBlock("t", 7, 30, 60, *columns)


@given(st.lists(score_blocks(), min_size=1, max_size=3))
def test_what_is_encoded_is_decoded_bit_by_bit(blocks: list[ScoreBlock]) -> None:
    decoded = decode_scores(encode_scores(blocks))

    assert len(decoded) == len(blocks)
    for got, block in zip(decoded, blocks, strict=True):
        assert (got.tenant, got.receive_ms, got.retention_days, got.width_s) == ("t", 7, 30, 60)
        for name in COLUMNS:
            assert getattr(got, name).tobytes() == getattr(block, name).tobytes()


@given(score_blocks(), st.data())
def test_a_cut_record_is_refused(block: ScoreBlock, data: st.DataObject) -> None:
    whole = encode_scores([block])

    with pytest.raises(InvalidRecord):
        decode_scores(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_take_gives_the_rows_asked_for() -> None:
    n = 3
    numbers = np.arange(n)
    columns: tuple[Any, ...] = (
        *(numbers, numbers.astype(np.uint64), *np.arange(4.0 * n).reshape(4, n)),
        *np.arange(3 * n, dtype=np.float32).reshape(3, n),
        numbers.astype(np.uint8),
    )
    block = ScoreBlock("t", 7, 30, 60, *columns)

    kept = block.take(np.array([0, 2]))

    assert kept.series_ids.tolist() == [0, 2]
    assert kept.learning_s.tolist() == [6, 8]
    assert len(kept) == 2

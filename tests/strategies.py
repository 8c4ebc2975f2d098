"""Hypothesis strategies, named by the thing made."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.samples import SampleBlock

INT64 = np.iinfo(np.int64)

# Any bit pattern, so that NaN payloads and negative zero come too.
value_bits = st.integers(0, 2**64 - 1)
special_bits = st.sampled_from(
    [0x7FF0000000000002, 0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000, 0]
)
times_ms = st.one_of(
    st.integers(INT64.min, INT64.max),
    st.integers(1_700_000_000_000, 1_700_000_100_000),
    st.sampled_from([INT64.min, -1, 0, INT64.max]),
)


@st.composite
def sample_blocks(draw: st.DrawFn) -> SampleBlock:
    n = draw(st.integers(0, 20))
    ids = draw(hnp.arrays(np.uint64, n))
    times = draw(hnp.arrays(np.int64, n, elements=times_ms))
    bits = draw(hnp.arrays(np.uint64, n, elements=st.one_of(value_bits, special_bits)))
    return SampleBlock(
        draw(st.text(max_size=9)),
        draw(st.integers(INT64.min, INT64.max)),
        draw(st.integers(0, 65_535)),
        ids,
        times,
        bits.view(np.float64),
        draw(st.integers(0, 255)),
        draw(st.integers(0, 65_535)),
    )


label_names = st.text("abcXYZ_", min_size=1, max_size=8)
labels = st.dictionaries(label_names, st.text(min_size=1, max_size=40), max_size=8)

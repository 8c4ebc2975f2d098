"""Decimal numbers, against Python's own parser."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.numbers import parse_numbers

digits = st.text("0123456789", min_size=1, max_size=25)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.3f}".format),
    st.integers().map(str),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-", "+"]), digits, digits),
    st.builds("{}.{}e{}".format, digits, digits, st.integers(-400, 400)),
)


@given(st.lists(numbers, max_size=10))
@example(["9007199254740993", "9007199254740992", "0.1", "-0", "1e23", "5e-324", "1e999"])
@example(["123456789012345678901234567890", "0.000000000000000000000012345678901234567890"])
def test_each_number_is_the_float_nearest_to_it(texts: list[str]) -> None:
    text = np.frombuffer(" ".join(texts).encode(), dtype=np.uint8)
    ends = np.cumsum([len(one) + 1 for one in texts], dtype=np.int32) - 1
    lengths = np.array([len(one) for one in texts], dtype=np.int32)
    bounds = np.column_stack((ends - lengths, ends)).astype(np.int32).reshape(-1, 2)

    values = parse_numbers(text, bounds)

    expected = np.array([float(one) for one in texts], dtype=np.float64)
    assert values.view(np.uint64).tolist() == expected.view(np.uint64).tolist()

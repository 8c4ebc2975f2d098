"""An OpenMetrics body that was cut off is found out, and half of a line is not taken."""

import numpy as np
import pytest

from pipeline.exposition.ending import cut_off


@pytest.mark.parametrize("text", ["# EOF", "# EOF\n", "a 1\n# EOF\n", "a 1\r\n# EOF\r\n"])
def test_a_body_with_its_end_is_whole(text: str) -> None:
    body = np.frombuffer(text.encode(), dtype=np.uint8)

    whole, fault = cut_off(body)

    assert (whole.tobytes().decode(), fault) == (text, None)


@pytest.mark.parametrize(
    ("text", "kept", "line", "is_cut"),
    [
        ("a 1\nb 12", "a 1\n", 2, True),
        ("a 1\nb 123\n", "a 1\nb 123\n", 3, False),
        ("a 1\n# EO", "a 1\n", 2, True),
        ("a 1\n# EOF\nb 2\n", "a 1\n# EOF\nb 2\n", 4, False),
        ("a 1", "", 1, True),
        ("a # EOF", "", 1, True),
        ("", "", 1, False),
    ],
)
def test_one_without_is_named_and_its_whole_lines_are_kept(
    text: str, kept: str, line: int, is_cut: bool
) -> None:
    """Of `b 123` cut off after the 2 a wrong value would be stored."""
    whole, fault = cut_off(np.frombuffer(text.encode(), dtype=np.uint8))

    assert whole.tobytes().decode() == kept
    assert fault is not None
    assert fault.line == line
    assert fault.message.startswith('"# EOF" is missing at the end')
    assert fault.message.endswith("is not taken") is is_cut

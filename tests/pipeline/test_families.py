"""Metadata of remote write 1.0 from its wire bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.families import Families, decode_families, families_of
from pipeline.hashing import tenant_hash
from pipeline.remote_write import decode_write_request
from schemas.series import MetricType
from tests.vectors.remote_write import Family, write_request

SEED = tenant_hash("default")


def decode(body: bytes) -> Families:
    array = np.frombuffer(body, dtype=np.uint8)
    return decode_families(array, decode_write_request(array, SEED).metadata_spans)


def told(families: Families) -> list[tuple[str, int, str]]:
    return families.told(range(len(families)))


names = st.text(min_size=1, max_size=20)
families = st.lists(
    st.builds(Family, names, st.integers(0, 7), st.text(max_size=9), st.text(max_size=9)),
    max_size=6,
)


@given(families)
def test_agrees_with_the_official_runtime(sent: list[Family]) -> None:
    """Families of which neither type nor unit is known are left out."""
    body = write_request([{"__name__": "up"}], [[(1, 1.0)]], sent)

    expected = [(one.name, one.type, one.unit) for one in sent if one.type or one.unit]
    assert told(decode(body)) == expected


@given(families)
def test_what_is_told_comes_back_the_same(sent: list[Family]) -> None:
    found = decode(write_request([], [], sent))

    again = families_of(told(found))

    assert told(again) == told(found)
    assert again.unit_keys.tolist() == found.unit_keys.tolist()


def metadata(*fields: bytes) -> bytes:
    """Return a MetricMetadata message as a field of its request."""
    text = b"".join(fields)
    return b"\x1a" + bytes([len(text)]) + text


GAUGE, COUNTER = b"\x08\x02", b"\x08\x01"
A, B = b"\x12\x01a", b"\x12\x01b"


@pytest.mark.parametrize(
    "broken",
    [
        metadata(GAUGE),  # no name
        metadata(GAUGE, b"\x12\x00"),
        metadata(GAUGE, b"\x12\x05a"),  # a name beyond its message
        metadata(GAUGE, A, b"\x0f"),  # no wire type 7
        metadata(b"\x08", A),
        metadata(A),  # neither type nor unit
        metadata(b"\x08\x63", A),  # a type of the future, and no unit
    ],
)
def test_what_is_broken_or_says_nothing_is_passed_over(broken: bytes) -> None:
    body = metadata(COUNTER, A) + broken + metadata(B, GAUGE)

    assert told(decode(body)) == [("a", MetricType.COUNTER, ""), ("b", MetricType.GAUGE, "")]


def test_of_a_field_sent_twice_the_last_one_counts_and_unknown_ones_do_not() -> None:
    assert told(decode(metadata(GAUGE, A, b"\x22\x01h", b"\x30\x07", B, COUNTER))) == [
        ("b", MetricType.COUNTER, "")
    ]


def test_too_long_names_are_passed_over_and_too_long_units_left_out() -> None:
    sent = [Family("n" * 1025, 1), Family("n" * 1024, 1), Family("u", 2, "u" * 257)]

    assert told(decode(write_request([], [], sent))) == [
        ("n" * 1024, MetricType.COUNTER, ""),
        ("u", MetricType.GAUGE, ""),
    ]


def test_a_request_tells_of_twenty_thousand_families_at_most() -> None:
    assert len(decode(metadata(COUNTER, A) * 20_001)) == 20_000


def test_other_edges_may_tell_what_is_none() -> None:
    """Of a name or unit that is too long or empty nothing is kept, of an unknown type the unit."""
    sent = [("", 1, ""), ("n" * 1025, 1, ""), ("a", 99, "s"), ("b", 1, "s" * 257), ("c", -1, "m")]

    assert told(families_of(sent)) == [("a", 0, "s"), ("c", 0, "m")]
    assert told(families_of([])) == []

"""Influx line protocol from its text, against a slow plain parser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import TooManySamples
from pipeline.hashing import tenant_hash
from pipeline.influx import lines as module
from pipeline.influx.labels import BrokenKey, labels_of
from pipeline.influx.lines import (
    BAD_FIELD,
    BAD_NUMBER,
    BAD_TIME,
    NO_FIELDS,
    NO_KEY,
    OPEN_STRING,
    TOO_LARGE,
    decode_lines,
)
from tests.vectors.influx import Parsed, parse

SEED = tenant_hash("default")
NOW_MS = 1_700_000_000_777
T_NS, T_MS = 1_700_000_000_123_456_789, 1_700_000_000_123


def as_array(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def decode(text: str, precision: str = "ns") -> Parsed:
    """Decode as the edge does; lines with broken tags count as bad."""
    body = as_array(text)
    found = decode_lines(body, SEED, precision, NOW_MS)
    parsed = Parsed(n_strings=found.n_strings, bad=found.bad_lines["line"].tolist())
    keys: dict[int, dict[str, str]] = {}
    for at, value in enumerate(found.values.tolist()):
        row = found.rows[at]
        labels = labels_of(body, found, at)
        assert keys.setdefault(int(row["key"]), labels) == labels
        parsed.samples.append((labels, int(row["time_ms"]), value))
    return parsed


def test_the_example_of_the_specification() -> None:
    """Two tags, a float, an integer, a boolean and a string, at a time in nanoseconds."""
    text = (
        "myMeasurement,tag1=value1,tag2=value2 "
        f'fieldKey="fieldValue",value=1.5,count=3i,up=true {T_NS}\n'
    )
    tags = {"tag1": "value1", "tag2": "value2"}

    assert decode(text) == Parsed(
        [
            ({"__name__": "myMeasurement", **tags}, T_MS, 1.5),
            ({"__name__": "myMeasurement_count", **tags}, T_MS, 3.0),
            ({"__name__": "myMeasurement_up", **tags}, T_MS, 1.0),
        ],
        n_strings=1,
    )


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1", 1.0),
        ("-1.5e-3", -0.0015),
        ("+2", 2.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("0.1234567890123456789", 0.1234567890123456789),
        ("98.73417721518988", 98.73417721518988),
        ("9007199254740993i", 9007199254740992.0),
        ("-9223372036854775808i", -(2.0**63)),
        ("18446744073709551615u", 2.0**64),
        ("t", 1.0),
        ("TRUE", 1.0),
        ("False", 0.0),
        ("f", 0.0),
    ],
)
def test_values(value: str, number: float) -> None:
    assert decode(f"m value={value}").samples == [({"__name__": "m"}, NOW_MS, number)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("m", NO_FIELDS),
        ("m ", NO_FIELDS),
        (",t=a f=1", NO_KEY),
        ("m f", BAD_FIELD),
        ("m =1", BAD_FIELD),
        ("m f=1,", BAD_FIELD),
        ("m f=1,,g=2", BAD_FIELD),
        ('m f="a"b', BAD_FIELD),
        ('m f="a', OPEN_STRING),
        ("m f=", BAD_NUMBER),
        ("m f=abc", BAD_NUMBER),
        ("m f=tRUE", BAD_NUMBER),
        ("m f=1x", BAD_NUMBER),
        ("m f=-", BAD_NUMBER),
        ("m f=1e", BAD_NUMBER),
        ("m f=i", BAD_NUMBER),
        ("m f=-1u", BAD_NUMBER),
        ("m f=nan", BAD_NUMBER),
        ("m f=9223372036854775808i", TOO_LARGE),
        ("m f=-9223372036854775809i", TOO_LARGE),
        ("m f=18446744073709551616u", TOO_LARGE),
        ("m f=1e999", TOO_LARGE),
        ("m f=1 1x", BAD_TIME),
        ("m f=1 1 1", BAD_TIME),
        ("m f=1 9223372036854775808", BAD_TIME),
        ("m f=1 -", BAD_TIME),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_kept(line: str, fault: int) -> None:
    """The fields before the fault go with it, the lines around it stay."""
    text = f"a,x=y value=1\n{line.replace(' f', ' g=7,f', 1)}\n\nb value=2"

    found = decode_lines(as_array(text), SEED, "ns", NOW_MS)

    assert found.values.tolist() == [1.0, 2.0]
    assert found.rows["line"].tolist() == [1, 4]
    assert (found.n_bad, found.bad_lines["line"].tolist()) == (1, [2])
    assert found.bad_lines["fault"].tolist() == [fault]


@pytest.mark.parametrize(
    ("precision", "timestamp"),
    [
        ("ns", T_NS),
        ("n", T_NS),
        ("us", T_NS // 1000),
        ("u", T_NS // 1000),
        ("µ", T_NS // 1000),
        ("ms", T_MS),
    ],
)
def test_precisions(precision: str, timestamp: int) -> None:
    assert decode(f"m value=1 {timestamp}", precision).samples[0][1] == T_MS


@pytest.mark.parametrize(("precision", "unit_ms"), [("s", 1000), ("m", 60_000), ("h", 3_600_000)])
def test_coarse_precisions(precision: str, unit_ms: int) -> None:
    assert decode("m value=1 7", precision).samples[0][1] == 7 * unit_ms


def test_a_time_before_1970_is_rounded_down() -> None:
    assert decode("m value=1 -1", "us").samples[0][1] == -1


def test_escapes() -> None:
    r"""A backslash takes a comma, a space, an equals sign or a backslash along, nothing else."""
    text = r"disk\ io,pa\ th=C:\\x\,y\=z,a\nb=c\d read\ rate\=x=1"

    assert decode(text).samples == [
        (
            {"__name__": "disk_io_read_rate_x", "pa_th": r"C:\x,y=z", r"a_nb": r"c\d"},
            NOW_MS,
            1.0,
        )
    ]


def test_names_that_begin_with_a_digit_get_an_underscore() -> None:
    assert decode("1m,2t=x value=1").samples[0][0] == {"__name__": "_1m", "_2t": "x"}


def test_a_string_may_hold_newlines_quotes_and_what_looks_like_a_line() -> None:
    text = 'm s="one\nm value=7\n\\"two\\" \\\\",value=1\nn value=2'

    found = decode(text)

    assert [(labels["__name__"], value) for labels, _, value in found.samples] == [
        ("m", 1.0),
        ("n", 2.0),
    ]
    assert (found.n_strings, found.bad) == (1, [])


def test_a_forgotten_quote_takes_no_good_line_along() -> None:
    found = decode('a s="x\nb value=1\nc s="y",value=2\n')

    assert [(labels["__name__"], value) for labels, _, value in found.samples] == [
        ("b", 1.0),
        ("c", 2.0),
    ]
    assert found.bad == [1]


def test_a_forgotten_quote_takes_no_good_line_along_where_a_backslash_ends_its_line() -> None:
    found = decode('a s="x\\\nc s="y",value=2\n')

    assert [value for _, _, value in found.samples] == [2.0]
    assert found.bad == [1]


def test_line_numbers_count_what_is_left_out() -> None:
    """Comments, empty lines, carriage returns and newlines in strings."""
    text = '# a comment\r\n\r\n   m value=1 \r\nn s="\n\n"\nbad\n'

    found = decode_lines(as_array(text), SEED, "ns", NOW_MS)

    assert found.rows["line"].tolist() == [3]
    assert found.bad_lines["line"].tolist() == [7]


@pytest.mark.parametrize("key", ["m,t", "m,=v", "m,t=", "m,,t=v", "m,t=a,t=b", "m,__name__=x"])
def test_broken_tags_are_found_with_the_labels(key: str) -> None:
    body = as_array(f"{key} value=1")
    found = decode_lines(body, SEED, "ns", NOW_MS)

    with pytest.raises(BrokenKey, match="tag"):
        labels_of(body, found, 0)


def test_tenants_share_no_keys() -> None:
    body = as_array("m value=1")

    keys = [int(decode_lines(body, tenant_hash(tenant), "ns", 0).rows["key"][0]) for tenant in "ab"]

    assert keys[0] != keys[1]


def test_a_body_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 100)

    with pytest.raises(TooManySamples, match="more than 100 values"):
        decode_lines(as_array("m a=1\n" * 101), SEED, "ns", NOW_MS)


name = st.text("ab1 ,=\\ü", min_size=1, max_size=4)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: f"{n}i"),
    st.integers(0, 2**64 - 1).map(lambda n: f"{n}u"),
    st.sampled_from(["t", "False", "1.", ".5e3", "00012", '"a, b=c"', '"q\\"\n"', "1e400", "x"]),
)


def escaped(text: str) -> str:
    for special in ("\\", " ", ",", "="):
        text = text.replace(special, "\\" + special)
    return text


@st.composite
def line(draw: st.DrawFn) -> str:
    tags = draw(st.dictionaries(name, name, max_size=3))
    key = "".join(f",{escaped(tag)}={escaped(value)}" for tag, value in tags.items())
    fields = draw(st.dictionaries(name, numbers, min_size=1, max_size=3))
    shown = ",".join(f"{escaped(field)}={value}" for field, value in fields.items())
    time = draw(st.one_of(st.just(""), st.integers(-(2**63), 2**63).map(lambda t: f" {t}")))
    return f"m{escaped(draw(name))}{key} {shown}{time}"


bodies = st.lists(st.one_of(line(), st.sampled_from(["", "# x", " \r"])), max_size=5).map("\n".join)
anything = st.text('ab=, "\\\n1.e-i\r#', max_size=40)


def agree(text: str, precision: str) -> None:
    expected = parse(text, precision)
    body = as_array(text)
    found = decode_lines(body, SEED, precision, NOW_MS)
    assert found.bad_lines["line"].tolist() == expected.bad
    assert found.n_strings == expected.n_strings
    assert found.values.tolist() == [value for _, _, value in expected.samples]
    times = [NOW_MS if time is None else time for _, time, _ in expected.samples]
    assert found.rows["time_ms"].tolist() == times
    for at, (labels, _, _) in enumerate(expected.samples):
        try:
            assert labels_of(body, found, at) == labels
        except BrokenKey:
            # The plain parser makes something of broken tags.
            continue


precisions = st.sampled_from(["ns", "us", "ms", "s"])


@given(bodies, precisions)
def test_agrees_with_a_plain_parser(text: str, precision: str) -> None:
    agree(text, precision)


@given(anything, precisions)
def test_agrees_with_a_plain_parser_on_anything(text: str, precision: str) -> None:
    agree(text, precision)


@given(bodies, st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(' ,="\\\n1')), max_size=3))
def test_agrees_with_a_plain_parser_on_what_is_damaged(
    text: str, damages: list[tuple[int, str]]
) -> None:
    for at, char in damages:
        place = at % (len(text) + 1)
        text = text[:place] + char + text[place + 1 :]
    agree(text, "ns")

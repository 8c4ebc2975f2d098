"""Text exposition as samples, against a plain parser and the official client's own output."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

from pipeline import new_labels
from pipeline.admission import Reason
from pipeline.errors import TooManySamples
from pipeline.exposition import lines
from pipeline.exposition.decode import ExpositionReader, Points
from pipeline.hashing import series_id_of, tenant_hash
from schemas.series import MetricType
from tests.decoding import all_labels
from tests.vectors.exposition import parse

SEED = tenant_hash("default")
NOW_MS = 1_700_000_000_000


def read(
    text: str | bytes,
    shared: dict[str, str] | None = None,
    *,
    reader: ExpositionReader | None = None,
    is_open_metrics: bool = False,
) -> Points:
    body = np.frombuffer(text.encode() if isinstance(text, str) else text, dtype=np.uint8)
    reader = reader or ExpositionReader(1000)
    return reader.read(body, SEED, NOW_MS, shared or {}, is_open_metrics=is_open_metrics)


def samples(points: Points) -> list[tuple[dict[str, str], int, str, str, str]]:
    """Return labels, time, value in words, type and unit of each sample."""
    decoded, metadata = points.decoded, points.decoded.metadata
    labels = all_labels(decoded)
    assert metadata is not None
    assert [series_id_of(SEED, one) for one in labels] == decoded.series_ids.tolist()
    return [
        (one, time, repr(value), MetricType(kind).name.lower(), metadata.unit_of(at))
        for at, (one, time, value, kind) in enumerate(
            zip(
                labels,
                decoded.times_ms.tolist(),
                decoded.values.tolist(),
                metadata.types.tolist(),
                strict=True,
            )
        )
    ]


def agree(text: str, *, is_open_metrics: bool) -> None:
    reader = ExpositionReader(1000)
    expected = parse(text, is_open_metrics=is_open_metrics)

    found = read(text, reader=reader, is_open_metrics=is_open_metrics)

    assert samples(found) == [
        (labels, NOW_MS if time is None else time, repr(value), kind, unit)
        for labels, time, value, kind, unit in expected.samples
    ]
    assert [fault.line for fault in found.faults] == expected.bad
    assert found.n_bad == len(expected.bad)
    # Of lines that are refused for a number beyond all floats they count, too.
    assert found.decoded.n_exemplars >= expected.n_exemplars
    assert found.decoded.n_exemplars == expected.n_exemplars or expected.bad
    again = read(text, reader=reader, is_open_metrics=is_open_metrics)
    assert samples(again) == samples(found)


names = st.sampled_from(["a", "a_total", "a_bucket", "a_created", "b:c", "ü"])
texts = st.text('ab",\\{}=\n #ü', max_size=4)
blanks = st.sampled_from([" ", "  ", "\t"])
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["NaN", "+Inf", "-Inf", "inf", "Infinity", "1.", ".5E3", "1e400", "x", "0x1"]),
)
stamps = st.one_of(
    st.integers(-(2**63), 2**64).map(str),
    st.floats(-1e12, 1e12).map(repr),
    st.sampled_from(["1520879607.789", "1e400", "-0.5", "t"]),
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@st.composite
def sample_lines(draw: st.DrawFn) -> str:
    name = draw(names)
    labels = draw(st.dictionaries(st.sampled_from("xyz"), texts, max_size=3))
    pairs = [f"{label}={quoted(value)}" for label, value in labels.items()]
    is_quoted = draw(st.booleans())
    if is_quoted:
        pairs.insert(0, quoted(name))
    has_comma, has_braces = draw(st.booleans()), draw(st.booleans())
    comma = "," if pairs and has_comma else ""
    braces = "{" + ",".join(pairs) + comma + "}" if pairs or has_braces else ""
    shown = ("" if is_quoted else name) + braces + draw(blanks) + draw(numbers)
    if draw(st.booleans()):
        shown += draw(blanks) + draw(stamps)
    return shown + draw(st.sampled_from(["", "", "\r", " ", ' # {trace="x y"} 1 2', " # x"]))


comments = st.sampled_from(
    [
        "# TYPE a counter",
        "# TYPE a histogram",
        "# HELP a What \\n it is",
        "# UNIT a seconds",
        "# TYPE a_total counter",
        "# TYPE a_created gauge",
        "# TYPE ü untyped",
        "# EOF",
        "#",
        "",
    ]
)
bodies = st.lists(st.one_of(sample_lines(), comments), max_size=6).map("\n".join)


@given(bodies, st.booleans())
def test_agrees_with_a_plain_parser(text: str, is_open_metrics: bool) -> None:
    agree(text, is_open_metrics=is_open_metrics)


@given(st.text('a{}"=, \\\n1.#', max_size=30), st.booleans())
def test_agrees_with_a_plain_parser_on_anything(text: str, is_open_metrics: bool) -> None:
    agree(text, is_open_metrics=is_open_metrics)


@given(
    bodies,
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(' {}",\\\n1#=')), max_size=3),
    st.booleans(),
)
def test_agrees_with_a_plain_parser_on_what_is_damaged(
    text: str, damages: list[tuple[int, str]], is_open_metrics: bool
) -> None:
    for at, char in damages:
        place = at % (len(text) + 1)
        text = text[:place] + char + text[place + 1 :]
    agree(text.replace("\r", ""), is_open_metrics=is_open_metrics)


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("temperature", "In the \n room", ["room"], registry=made, unit="celsius").labels(
        'a "b" \\ c\n'
    ).set(21.5)
    Counter("jobs", "Done", ["queue"], registry=made).labels("q").inc(3)
    Histogram("wait", "Seconds", registry=made, buckets=(1, 2)).observe(1.5)
    return made


@pytest.mark.parametrize(
    ("generate", "is_open_metrics"), [(generate_latest, False), (generate_open_metrics, True)]
)
def test_the_official_clients_output_is_read(generate: Any, is_open_metrics: bool) -> None:
    found = samples(read(generate(registry()), is_open_metrics=is_open_metrics))

    by_name = {
        one["__name__"] + one.get("le", ""): (one, float(value), kind, unit)
        for one, _, value, kind, unit in found
        if not one["__name__"].endswith("_created")
    }
    room = {"__name__": "temperature_celsius", "room": 'a "b" \\ c\n'}
    unit = "celsius" if is_open_metrics else ""
    assert by_name["temperature_celsius"] == (room, 21.5, "gauge", unit)
    jobs = {"__name__": "jobs_total", "queue": "q"}
    assert by_name["jobs_total"] == (jobs, 3.0, "counter", "")
    assert [by_name[f"wait_bucket{bound}"][1:3] for bound in ("1.0", "2.0", "+Inf")] == [
        (0.0, "histogram"),
        (1.0, "histogram"),
        (1.0, "histogram"),
    ]
    n_created = sum(one["__name__"].endswith("_created") for one, *_ in found)
    assert n_created == (0 if is_open_metrics else 2)


def test_a_created_is_the_start_of_its_counter() -> None:
    text = (
        "# TYPE a counter\n"
        'a_total{x="1"} 3 1700000000\na_created{x="1"} 1699999990.5\na_total{x="2"} 4\n'
    )

    decoded = read(text, is_open_metrics=True).decoded

    assert decoded.values.tolist() == [3.0, 4.0]
    assert decoded.starts_ms.tolist() == [1_699_999_990_500, 0]


def test_a_created_is_the_start_of_all_counters_of_a_histogram_or_summary() -> None:
    """Wherever the bound stands among the labels; a quantile is no counter."""
    text = (
        "# TYPE h histogram\n"
        'h_bucket{a="x",le="1.0",z="\\"le="} 1\nh_bucket{a="x",z="\\"le=",le="+Inf"} 2\n'
        'h_count{a="x",z="\\"le="} 2\nh_sum{a="x",z="\\"le="} 3.5\n'
        'h_created{a="x",z="\\"le="} 1699999990\n'
        'h_bucket{le="+Inf"} 4\nh_count{a="y"} 4\n'
        "# TYPE s summary\n"
        's{quantile="0.5"} 7\ns_count 8\ns_sum 9\ns_created 1699999980\n'
    )

    decoded = read(text, is_open_metrics=True).decoded

    starts_s = dict(zip(decoded.values.tolist(), (decoded.starts_ms // 1000).tolist(), strict=True))
    h, s = 1_699_999_990, 1_699_999_980
    assert starts_s == {1: h, 2: h, 3.5: h, 4: 0, 7: 0, 8: s, 9: s}


def test_the_official_clients_histogram_has_its_start() -> None:
    text: bytes = generate_open_metrics(registry())  # type: ignore[no-untyped-call]
    found = read(text, is_open_metrics=True).decoded

    kinds = found.metadata.types if found.metadata else np.zeros(0)
    assert (found.starts_ms[kinds == MetricType.HISTOGRAM] > 0).sum() == 5


def test_labels_of_the_request_win() -> None:
    """As with a Pushgateway; and bodies of different requests share no remembered ids."""
    reader = ExpositionReader(1000)
    text = 'a{job="own",x="1"} 1\n'

    found = [
        all_labels(read(text, shared, reader=reader).decoded)
        for shared in ({}, {"job": "one"}, {"job": "two", "x": ""})
    ]

    assert found == [
        [{"__name__": "a", "job": "own", "x": "1"}],
        [{"__name__": "a", "job": "one", "x": "1"}],
        [{"__name__": "a", "job": "two"}],
    ]


def test_refused_lines_are_numbered_and_quoted() -> None:
    text = b'good 1\nno_value\na{b="c" 1\na 1 2 3\na 1e999\na{b=c} 1\na{b="\xff"} 1\n'

    found = read(text)

    assert [(one.line, one.reason) for one in found.faults] == [
        (2, Reason.NOT_A_NUMBER),
        (3, Reason.BAD_LABELS),
        (4, Reason.BAD_TIMESTAMP),
        (5, Reason.NOT_A_NUMBER),
        (6, Reason.BAD_LABELS),
        (7, Reason.BAD_LABELS),
    ]
    assert found.faults[1].message == "'a{b=\"c\" 1': the brace of its labels is not closed"
    assert found.faults[4].message == "'a{b=c}': at 'b=c': expected name=\"value\""
    assert found.n_bad == 6
    assert found.decoded.values.tolist() == [1.0]


def test_special_values_are_kept() -> None:
    values = read("a NaN\na +Inf\na -inf\n").decoded.values.tolist()

    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_a_body_of_too_many_samples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROWS", 100)

    with pytest.raises(TooManySamples, match="more than 100 samples"):
        read("a 1\n" * 101)


def test_short_lines_of_many_families_fit() -> None:
    text = "".join(f"# TYPE m{i} gauge\nm{i} {i}\n" for i in range(500)) + "b 1\n" * 5000

    found = samples(read(text))

    assert [kind for *_, kind, _ in found[:500]] == ["gauge"] * 500
    assert len(found) == 5500


def test_few_of_many_broken_lines_are_worded() -> None:
    found = read('a{b="} 1\n' * 500 + "a{b} 1\n" * 500)

    assert found.n_bad == 1000
    assert [one.line for one in found.faults] == [*range(1, 101), *range(501, 601)]


def test_a_family_that_is_declared_again_is_another_one() -> None:
    found = read("# TYPE a counter\na 0.0\na 0.0\n# TYPE a histogram\na 0.0\n# UNIT a s\na 1\n")

    kinds = [(kind, unit) for *_, kind, unit in samples(found)]
    assert kinds == [("counter", ""), ("counter", ""), ("histogram", ""), ("histogram", "s")]


def test_labels_beyond_those_kept_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_labels, "_MAX_KEPT", 1)

    found = read('a{x="1"} 1\na{x="2"} 1\n')

    assert [labels["x"] for labels, *_ in samples(found)] == ["1", "2"]

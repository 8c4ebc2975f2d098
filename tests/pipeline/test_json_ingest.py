"""JSON ingest from its body."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import json_ingest
from pipeline.admission import Limits, Reason
from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.json_ingest import JsonBatch, JsonReader
from pipeline.json_points import announcement_of_point, decode_point, find_twice, labels_of_point
from schemas.series import MetricType
from tests.json_reference import read_json_reference

SEED = tenant_hash("t")
NOW_MS = 1_770_000_000_000
LIMITS = Limits(
    max_labels=4, max_label_bytes=20, max_future_ms=600_000, retention_ms=30 * 86_400_000
)


def body(*points: object) -> bytes:
    return json.dumps({"metrics": points}).encode()


def read(text: bytes, reader: JsonReader | None = None, *, are_lines: bool = False) -> JsonBatch:
    reader = reader or JsonReader(1000, 1000)
    array = np.frombuffer(text, dtype=np.uint8)
    return reader.read(array, SEED, NOW_MS, LIMITS, are_lines=are_lines)


def reasons(batch: JsonBatch) -> dict[int, Reason]:
    return {one.index: one.reason for one in batch.refusals.in_order()}


def messages(batch: JsonBatch) -> list[str]:
    return [one.message for one in batch.refusals.in_order()]


def test_a_point_without_timestamp_gets_the_time_of_receipt() -> None:
    batch = read(body({"name": "a", "value": 1}, {"name": "a", "value": 2, "timestamp": None}))

    assert batch.times_ms.tolist() == [NOW_MS, NOW_MS]
    assert batch.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("timestamp", "offset_ms"),
    [
        (NOW_MS, 0),
        (NOW_MS // 1000, 0),
        (NOW_MS * 1000 + 999, 0),
        (NOW_MS * 1_000_000 + 999_999, 0),
        (NOW_MS + 0.9, 0),
        (NOW_MS / 1000 + 0.123, 123),
        (NOW_MS * 1000.0 + 1999, 1),
        (1.77e12, 0),
        (1.77e9, 0),
        (1.77e18, 0),
        ("2026-02-02T02:40:00Z", 0),
        ("2026-02-02t02:40:00.0019z", 1),
        ("2026-02-02 03:40:00.250+01:00", 250),
        ("2026-02-01T21:10:00.123456789-05:30", 123),
        ("2026-02-02T02:40:00", 0),
        ("20260202T024000Z", 0),
    ],
)
def test_a_timestamp_is_a_number_whose_size_tells_its_unit_or_rfc_3339(
    timestamp: object, offset_ms: int
) -> None:
    """Seconds, ms, microseconds or nanoseconds; what is less than a millisecond is cut off."""
    batch = read(body({"name": "a", "value": 1, "timestamp": timestamp}))

    assert messages(batch) == []
    assert batch.times_ms.tolist() == [NOW_MS + offset_ms]


@pytest.mark.parametrize(
    ("timestamp", "reason", "says"),
    [
        (10**30, Reason.BAD_TIMESTAMP, "timestamp 1000000000000000000000000000000: a number"),
        (10**400, Reason.BAD_TIMESTAMP, "a number of seconds, milliseconds"),
        (1e30, Reason.BAD_TIMESTAMP, "a number of seconds, milliseconds"),
        (-1e300, Reason.BAD_TIMESTAMP, "a number of seconds, milliseconds"),
        ("soon", Reason.BAD_TIMESTAMP, "timestamp 'soon': a number of seconds"),
        ("2026-02-30T00:00:00Z", Reason.BAD_TIMESTAMP, "RFC 3339 such as"),
        ([1], Reason.BAD_TIMESTAMP, "a number of seconds"),
        (True, Reason.BAD_TIMESTAMP, "a number of seconds"),
        (1_700_000_000, Reason.TOO_OLD, "timestamp 1700000000, read as seconds: timestamp 17000"),
        (5, Reason.TOO_OLD, "timestamp 5, read as seconds: timestamp 5000 ms is older than"),
        (-5, Reason.TOO_OLD, "timestamp -5, read as seconds"),
        (5e17, Reason.TOO_OLD, "read as nanoseconds"),
        (NOW_MS - 31 * 86_400_000, Reason.TOO_OLD, "timestamp 1767321600000 ms is older"),
        (NOW_MS * 1000 + 601_000_000, Reason.FUTURE, "read as microseconds"),
        (2**63 - 1, Reason.FUTURE, "timestamp 9223372036854775807, read as nanoseconds"),
        (-(2**63), Reason.TOO_OLD, "read as nanoseconds"),
    ],
)
def test_any_other_timestamp_is_refused_and_the_message_says_how_it_was_read(
    timestamp: object, reason: Reason, says: str
) -> None:
    batch = read(body({"name": "a", "value": 1, "timestamp": timestamp}))

    assert reasons(batch) == {0: reason}
    assert says in messages(batch)[0]
    assert batch.ids.tolist() == [0]


def test_bad_points_are_refused_one_by_one_and_the_good_ones_kept() -> None:
    points = [
        {"name": "good", "value": 1},
        {"name": "a", "value": "1"},
        {"value": 1},
        {"name": "a", "value": True},
        7,
        {"name": "a"},
        {"name": "a", "value": 1, "unit": "u" * 257},
        {"name": "bad name", "value": 1},
        {"name": "good", "value": 2, "timestamp": NOW_MS + 5},
    ]

    batch = read(body(*points))

    assert np.flatnonzero(batch.ids).tolist() == [0, 8]
    assert batch.values[[0, 8]].tolist() == [1.0, 2.0]
    assert reasons(batch) == {
        1: Reason.NOT_A_NUMBER,
        2: Reason.BAD_NAME,
        3: Reason.NOT_A_NUMBER,
        4: Reason.BAD_SAMPLE,
        5: Reason.NOT_A_NUMBER,
        6: Reason.BAD_SAMPLE,
        7: Reason.BAD_NAME,
    }


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{}", b'{"metrics": 5}', b"\xff\xfe", b'{"metrics":[{"name":"a","value":1}],}',
     b'{"metrics":[{"name":"a","value":1},]}', b'[{"name":"a","value":1}] x', b"[1, ]", b"[,1]",
     b'{"metrics":[{"name":"a","value":01}]}', b'{"metrics":[{"name":"a" "value":1}]}',
     b'{"metrics":[{"name":"a","value":1}', b"null", b"5", b'["a\n"]'],
)  # fmt: skip
def test_a_body_of_another_form_says_what_is_expected(text: bytes) -> None:
    with pytest.raises(MalformedBody, match="expected"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"metrics":[{"name":"a","value":1},{"name":"b","value":2}]}',
        b' { "metrics" : [ {"value" : 1 , "name":"a" } ,\r\n\t{"name":"b","value":2} ] } \n',
        b'[{"name":"a","value":1},{"name":"b","value":2}]',
        b'{"version":1,"metrics":[{"name":"a","value":1},{"name":"b","value":2}]}',
        b'{"name":"a","value":1}\n{"name":"b","value":2}',
        b'\n {"name":"a","value":1} \r\n\r\n{"name":"b","value":2}\n\n',
        b'{"name":"a","x":{"y":[1,"}"]},"value":1}\n{"na\\u006de":"b","value":2}\n',
    ],
)
def test_an_object_a_list_and_lines_of_points_are_taken(text: bytes) -> None:
    batch = read(text)

    assert batch.ids.tolist() == [series_id_of(SEED, {"__name__": name}) for name in "ab"]
    assert batch.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("text", [b'{"metrics":[]}', b"[]", b" [ ] "])
def test_no_points_are_taken_as_no_points(text: bytes) -> None:
    assert len(read(text).ids) == 0


def test_a_bad_line_is_refused_and_the_others_are_kept() -> None:
    """The index counts lines that are not empty."""
    lines = b'{"name":"a","value":1}\n\n{"name":"a",\n[1]\n{"name":"b","value":2} x\n'

    batch = read(lines + b'{"name":"b","value":2}', are_lines=True)

    assert np.flatnonzero(batch.ids).tolist() == [0, 4]
    assert reasons(batch) == dict.fromkeys((1, 2, 3), Reason.BAD_SAMPLE)


def test_half_of_a_surrogate_pair_costs_its_own_point_only() -> None:
    """It is no character, and no UTF-8 can be made of it; an escaped backslash before it is one."""
    names = [r"a\ud800", r"a\udc00\ud800", r"a\ud800\u0041", "good"]
    points = [f'{{"name":"{name}","value":1}}' for name in names]
    points += [r'{"name":"a","value":1,"labels":{"x":"\udfff"}}']
    points += [r'{"name":"a","value":1,"labels":{"x":"\ud83d\ude00 \\ud800"}}']

    batch = read(f'{{"metrics":[{",".join(points)}]}}'.encode())

    assert reasons(batch) == dict.fromkeys((0, 1, 2), Reason.BAD_SAMPLE) | {4: Reason.BAD_LABELS}
    assert "half of a surrogate pair" in messages(batch)[0]
    assert labels_of_point(batch.point_of(5))["x"] == "\N{GRINNING FACE} \\ud800"


def test_text_that_is_not_utf_8_costs_its_own_point_only() -> None:
    text = b'[{"name":"\xff","value":1},{"name":"a","value":1,"labels":{"x":"\xff"}},'

    batch = read(text + b'{"name":"a","value":1}]')

    assert reasons(batch) == {0: Reason.BAD_SAMPLE, 1: Reason.BAD_LABELS}


def test_ids_are_those_of_the_labels_however_they_are_written() -> None:
    """Once by the whole parser, and once by the texts that it has found sound."""
    text = (
        b'{"metrics":[{"name":"a","value":1,"labels":{"x":"1","y":"2"}},'
        b'{"name":"a","value":1,"labels":{ "y":"2", "x":1 }},'
        b'{"name":"a","value":1,"tags":{"x":"1","y":"2"},"labels":{"x":1,"z":""}}]}'
    )
    reader = JsonReader(1000, 10)

    for _ in range(2):
        expected = series_id_of(SEED, {"__name__": "a", "x": "1", "y": "2"})
        assert read(text, reader).ids.tolist() == [expected] * 3


def test_labels_that_are_no_object_of_plain_values_are_refused() -> None:
    labels: list[Any] = [{"x": [1]}, "x", None, {"__name__": "b"}]

    batch = read(body(*({"name": "a", "value": 1, "labels": one} for one in labels)))

    assert reasons(batch) == dict.fromkeys((0, 1, 3), Reason.BAD_LABELS)
    assert "is given by the point's name" in messages(batch)[2]


def test_a_label_of_one_value_in_labels_and_another_in_tags_is_refused() -> None:
    """One of both would be lost; the same value under both names loses nothing."""
    labels = {"name": "a", "value": 1, "labels": {"x": "1", "y": "2"}}
    twins: list[dict[str, str]] = [{"x": "1"}, {"x": "9"}, {"y": ""}, {"z": "3"}]
    reader = JsonReader(1000, 10)

    for _ in range(2):
        batch = read(body(*(labels | {"tags": one} for one in twins)), reader)

        assert reasons(batch) == dict.fromkeys((1, 2), Reason.BAD_LABELS)
        assert messages(batch)[0] == (
            "a: label 'x' stands twice, with one value in labels and another in tags"
        )


def test_a_known_series_is_parsed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of a body in which a series stands ten times, it is parsed once."""
    parsed: list[str] = []

    def parse(text: bytes) -> Any:
        parsed.append(bytes(text).decode())
        return decode_point(text)

    monkeypatch.setattr(json_ingest, "decode_point", parse)
    reader = JsonReader(1000, 10)
    points = [{"name": f"m{i % 10}", "value": i, "labels": {"a": "b"}} for i in range(100)]

    batches = [read(body(*points), reader) for _ in range(3)]

    assert len(parsed) == 10
    for batch in batches:
        assert batch.values.tolist() == list(range(100))
        assert len(set(batch.ids.tolist())) == 10


@pytest.mark.parametrize("first", ["0123", ".5", "nul"])
def test_a_member_that_stands_twice_is_judged_both_times(first: str) -> None:
    """Also where the series is known by the second."""
    reader = JsonReader(1000, 1000)
    sound = b'[{"name": "a", "value": 1, "labels": {"x": "1"}}]'
    assert read(sound, reader).ids[0]

    twice = sound.replace(b'"labels"', b'"labels": %s, "labels"' % first.encode())

    try:
        assert not read(twice, reader).ids.any()
    except MalformedBody:
        return


@pytest.mark.parametrize(
    ("point", "reason", "says"),
    [
        ('{"name": "a", "value": 1, "value": 2}', Reason.BAD_SAMPLE, "'value'"),
        ('{"name": "a", "name": "b", "value": 2}', Reason.BAD_SAMPLE, "'name'"),
        ('{"value": 1, "name": "a", "timestamp": 1, "timestamp": 2}', Reason.BAD_SAMPLE, "'timest"),
        ('{"name": "a", "value": 1, "x": 1, "\\u0078": 2}', Reason.BAD_SAMPLE, "member 'x'"),
        ('{"name": "a", "value": 1, "labels": {"b": 1, "b": 2}}', Reason.BAD_LABELS, "label 'b'"),
        ('{"name": "a", "value": 1, "tags": {"b": "", "b": ""}}', Reason.BAD_LABELS, "label 'b'"),
    ],
)
def test_what_stands_twice_in_a_point_is_refused_and_named(
    point: str, reason: Reason, says: str
) -> None:
    """One of both would be lost without a word; the first time and when texts are known."""
    reader = JsonReader(1000, 1000)
    text = f'[{{"name": "a", "value": 1}}, {point}, {{"name": "b", "value": 1}}]'.encode()

    for batch in (read(text, reader), read(text, reader)):
        assert np.flatnonzero(batch.ids).tolist() == [0, 2]
        assert reasons(batch) == {1: reason}
        assert says in messages(batch)[0]
        assert messages(batch)[0].endswith(" stands twice")


_names = st.text('abé"\\', max_size=2)


@given(
    st.lists(st.tuples(_names, st.lists(st.tuples(_names, st.integers(0, 9)), max_size=3))),
    st.booleans(),
)
def test_what_stands_twice_is_found_as_json_finds_it(
    members: list[tuple[str, list[tuple[str, int]]]], ensure_ascii: bool
) -> None:
    """Nothing that stands twice is missed, nor found where nothing does."""

    def as_object(pairs: list[tuple[str, str]]) -> str:
        members = (
            f"{json.dumps(name, ensure_ascii=ensure_ascii)} : {text}" for name, text in pairs
        )
        return f"{{{', '.join(members)}}}"

    inner = [(name, as_object([(one, str(number)) for one, number in of])) for name, of in members]
    lists = [[name for name, _ in members], *([one for one, _ in of] for _, of in members)]

    found = find_twice(as_object(inner).encode())

    assert (found is not None) == any(len(set(names)) < len(names) for names in lists)


@pytest.mark.parametrize("name", ['"metrics"', '"m\\u0065trics"'])
def test_two_lists_of_points_are_refused(name: str) -> None:
    """The points of the first one would be lost."""
    text = f'{{"metrics": [{{"name": "a", "value": 1}}], {name}: []}}'.encode()

    with pytest.raises(MalformedBody, match='"metrics" stands twice'):
        read(text)


def test_lines_are_told_from_a_list_also_where_the_first_is_broken() -> None:
    """Without a content type that says so; the good ones are taken."""
    lines = b'\n{"name": "a", "value": }\n{"name": "b", "value": 2}\nx\n'
    pretty = b'{"metrics": [\n{"name": "a", "value": }\n,\n{"name": "b", "value": 2}\n]}'

    batch = read(lines)

    assert batch.values.tolist() == [0.0, 2.0, 0.0]
    assert set(reasons(batch)) == {0, 2}
    for text in (pretty, pretty.replace(b"{", b"{\n", 1), pretty[len(b'{"metrics": ') :]):
        with pytest.raises(MalformedBody, match="expected"):
            read(text)


def test_a_full_cache_forgets_but_never_errs() -> None:
    """500 series of two tenants with the same texts through a cache of 16."""
    reader = JsonReader(16, 10)
    text = np.frombuffer(body(*({"name": f"m{i}", "value": 1} for i in range(500))), np.uint8)
    seeds = (SEED, tenant_hash("u"))

    for seed in (*seeds, *seeds):
        ids = reader.read(text, seed, NOW_MS, LIMITS).ids

        assert ids.tolist() == [series_id_of(seed, {"__name__": f"m{i}"}) for i in range(500)]
    assert reader.n_bytes() <= 2 * 1024 * 16


def test_a_changed_type_or_unit_has_another_key() -> None:
    """So the series is announced again."""
    metadata = [{}, {"type": "gauge"}, {"unit": "s"}, {"type": "gauge", "unit": "s"}, {}]

    batch = read(body(*({"name": "a", "value": 1} | one for one in metadata)))

    assert len(set(batch.ids.tolist())) == 1
    assert len(set(batch.keys.tolist())) == 4
    assert batch.keys[0] == batch.ids[0]


def test_an_announcement_tells_labels_type_and_unit() -> None:
    point = {"name": "a", "value": 1, "labels": {"b": True}, "type": "Counter", "unit": "s"}

    told = announcement_of_point(7, read(body(point)).point_of(0))

    assert told.labels == {"__name__": "a", "b": "true"}
    assert (told.series_id, told.type, told.unit) == (7, MetricType.COUNTER, "s")


texts = st.one_of(
    st.sampled_from(["a", "up", "", "b c", "é", '"', "\\", "\n"]), st.text(max_size=4)
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts)
label_objects = st.one_of(st.dictionaries(texts, scalars, max_size=3), scalars)
times = st.one_of(
    st.integers(NOW_MS - 10_000, NOW_MS + 10_000),
    st.floats(NOW_MS / 1000 - 9, NOW_MS / 1000 + 9),
    st.integers(NOW_MS - 10_000, NOW_MS + 10_000).map(lambda ms: ms * 10**6 + 123),
    st.just("2026-02-02T02:40:00.5Z"),
    scalars,
)
plain_points = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "up"]), "value": st.floats(allow_nan=False)},
    optional={"timestamp": times, "labels": label_objects},
)
any_points = st.fixed_dictionaries(
    {},
    optional={
        "name": scalars,
        "value": scalars,
        "timestamp": times,
        "labels": label_objects,
        "tags": label_objects,
        "type": scalars,
        "unit": scalars,
        "other": st.one_of(scalars, st.lists(scalars, max_size=2)),
    },
)


@given(
    st.lists(st.one_of(plain_points, any_points, scalars), max_size=6),
    st.sampled_from([None, 1]),
    st.booleans(),
)
@example(
    [{"name": "a", "value": 5e-324}, {"name": "a", "value": 1.7976931348623157e308}], None, True
)
def test_agrees_with_a_plain_reference(
    points: list[Any], indent: int | None, ensure_ascii: bool
) -> None:
    """Point by point, the first time and when all texts are known."""
    text = json.dumps({"metrics": points}, indent=indent, ensure_ascii=ensure_ascii)
    body_text = text.replace("Infinity", "1e999").encode()
    expected = [read_json_reference(one, NOW_MS, LIMITS) for one in points]
    reader = JsonReader(1000, 1000)

    for batch in (read(body_text, reader), read(body_text, reader)):
        for at, one in enumerate(expected):
            if one is None:
                assert batch.ids[at] == 0, (points[at], reasons(batch))
            else:
                assert batch.ids[at] == series_id_of(SEED, one.labels), (
                    points[at],
                    messages(batch),
                )
                assert (batch.times_ms[at], batch.values[at]) == (one.time_ms, one.value)
        assert len(batch.refusals) == expected.count(None)

"""Line protocol as samples with series ids, and the lines that are refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings

from pipeline import new_labels
from pipeline.admission import Reason
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.influx.decode import InfluxReader, Points
from pipeline.influx.labels import BrokenKey, labels_of
from pipeline.influx.lines import decode_lines
from tests.decoding import all_labels
from tests.pipeline.influx.test_lines import bodies

SEED = tenant_hash("default")
NOW_MS = 1_700_000_000_000


def read(text: str | bytes, reader: InfluxReader | None = None, precision: str = "ns") -> Points:
    body = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    reader = reader or InfluxReader(1000)
    return reader.read(np.frombuffer(body, dtype=np.uint8), SEED, precision, NOW_MS)


def samples(points: Points) -> list[tuple[dict[str, str], int, float]]:
    decoded = points.decoded
    labels = all_labels(decoded)
    assert [series_id_of(SEED, one) for one in labels] == decoded.series_ids.tolist()
    return list(zip(labels, decoded.times_ms.tolist(), decoded.values.tolist(), strict=True))


def labels_in(text: str) -> list[dict[str, str]]:
    """Return the labels of each sound row, read one by one."""
    body = np.frombuffer(text.encode(), dtype=np.uint8)
    lines, found = decode_lines(body, SEED, "ns", NOW_MS), []
    for row in range(len(lines.rows)):
        with contextlib.suppress(BrokenKey):
            found.append(labels_of(body, lines, row))
    return found


@settings(max_examples=100)
@given(bodies)
def test_ids_are_those_of_the_labels_also_when_they_are_remembered(text: str) -> None:
    reader = InfluxReader(1000)

    first, again = read(text, reader), read(text, reader)

    assert [labels for labels, _, _ in samples(first)] == labels_in(text)
    assert samples(first) == samples(again)
    assert first.faults == again.faults


def test_refused_lines_are_numbered_and_quoted() -> None:
    points = read('good a=1\n,x=1\nno_fields\na,b a=1,c="text"\nm a=1e999\nm a=x\n m a=1 t\n')

    assert [(one.line, one.reason) for one in points.faults] == [
        (2, Reason.BAD_NAME),
        (3, Reason.BAD_SAMPLE),
        (4, Reason.BAD_LABELS),
        (5, Reason.NOT_A_NUMBER),
        (6, Reason.NOT_A_NUMBER),
        (7, Reason.BAD_TIMESTAMP),
    ]
    assert points.faults[1].message == "unable to parse 'no_fields': missing fields"
    assert points.faults[2].message == "unable to parse 'a,b': tag 'b': expected name=value"
    assert (points.n_bad, len(points.decoded.values)) == (6, 1)


def test_a_line_is_one_point_of_as_many_samples_as_it_has_numbers() -> None:
    decoded = read('m,host=h a=1,b=2i,c="no",d=t 5000000\nm a=3').decoded

    assert decoded.points.tolist() == [1, 1, 1, 2]
    assert decoded.times_ms.tolist() == [5, 5, 5, NOW_MS]
    assert decoded.values.tolist() == [1.0, 2.0, 1.0, 3.0]


def test_what_is_no_text_costs_its_own_lines() -> None:
    points = read(b"m,a=\xff x=1\nm x=2\n")

    assert [(one.line, one.reason) for one in points.faults] == [(1, Reason.BAD_LABELS)]
    assert points.decoded.values.tolist() == [2.0]


def test_few_of_many_broken_lines_are_worded() -> None:
    points = read("a,b x=1\n" * 500 + "y\n" * 500)

    assert points.n_bad == 1000
    assert [one.line for one in points.faults] == [*range(1, 101), *range(501, 601)]


def test_labels_beyond_those_kept_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_labels, "_MAX_KEPT", 1)

    points = read("m,a=1 x=1\nm,a=2 x=1\nm,a=3 x=1")

    assert [labels["a"] for labels, _, _ in samples(points)] == ["1", "2", "3"]

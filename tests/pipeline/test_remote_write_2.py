"""Remote write 2.0 from its wire bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.decoded import Decoded
from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.refusals import MAX_PLACES
from pipeline.remote_write_2 import decode_request
from tests.decoding import all_labels
from tests.strategies import labels
from tests.vectors.remote_write import Series2, WriteRequest2, write_request, write_request_2

SEED = tenant_hash("default")
int64s = st.integers(-(2**63), 2**63 - 1)
samples = st.lists(st.tuples(int64s, st.floats(), int64s), max_size=4)
series = st.builds(Series2, labels, samples, st.integers(0, 7), st.text(max_size=5))


def decode(body: bytes) -> Decoded:
    return decode_request(np.frombuffer(body, dtype=np.uint8), SEED)


def starts_of(decoded: Decoded) -> NDArray[np.int64]:
    return decoded.starts_ms if len(decoded.starts_ms) else np.zeros_like(decoded.times_ms)


@given(st.lists(series, max_size=5))
def test_agrees_with_the_official_runtime(sent: list[Series2]) -> None:
    """Labels, times, values, starts, types and units are those that were sent."""
    decoded = decode(write_request_2(sent))

    assert decoded.series_ids.tolist() == [series_id_of(SEED, one.labels) for one in sent]
    assert all_labels(decoded) == [one.labels for one in sent]
    flat = [(at, *sample) for at, one in enumerate(sent) for sample in one.samples]
    assert decoded.sample_series.tolist() == [at for at, *_ in flat]
    assert decoded.times_ms.tolist() == [time for _, time, _, _ in flat]
    np.testing.assert_array_equal(decoded.values, [value for _, _, value, _ in flat])
    assert starts_of(decoded).tolist() == [start for *_, start in flat]
    assert decoded.metadata is not None
    assert decoded.metadata.types.tolist() == [one.type for one in sent]
    assert [decoded.metadata.unit_of(at) for at in range(len(sent))] == [one.unit for one in sent]


def test_keys_change_with_type_and_unit_and_are_the_ids_without_them() -> None:
    """So a series is announced again when its metadata comes later than its first sample."""
    sent = [Series2({"__name__": "a"}, [], kind, unit) for kind in (0, 1) for unit in ("", "s")]

    decoded = decode(write_request_2(sent))

    assert decoded.metadata is not None
    assert len(set(decoded.series_ids.tolist())) == 1
    assert len(set(decoded.metadata.keys.tolist())) == 4
    assert decoded.metadata.keys[0] == decoded.series_ids[0]


def test_a_body_of_version_1_is_refused_and_an_empty_one_is_none() -> None:
    """Its fields are reserved in 2.0: it would be read as nothing, and be lost."""
    with pytest.raises(MalformedBody, match=r"version 1.0 .*;proto=prometheus\.WriteRequest"):
        decode(write_request([{"__name__": "a"}], [[(1, 1.0)]]))

    assert len(decode(b"").values) == len(decode(write_request_2([])).values) == 0


def test_histograms_are_known_by_their_series_as_far_as_they_are_named() -> None:
    request = WriteRequest2(symbols=["", "__name__", "a", "b"])
    for reference, n_histograms in ((2, 0), (3, 2), (2, MAX_PLACES)):
        one = request.timeseries.add(labels_refs=[1, reference])
        one.samples.add(value=1)
        for _ in range(n_histograms):
            one.histograms.add()

    decoded = decode(request.SerializeToString())

    assert decoded.n_histograms == MAX_PLACES + 2
    assert decoded.histogram_series.tolist() == [1, 1] + [2] * (MAX_PLACES - 2)


def test_fields_may_come_in_any_order_and_references_one_by_one() -> None:
    """Protobuf allows both, and symbols after the series that refer to them."""
    request = WriteRequest2(symbols=["", "__name__", "a"])
    symbols = request.SerializeToString()
    unpacked = b"\x12\x02\x10\x05" + b"\x08\x01\x08\x02"
    body = b"\x2a" + bytes([len(unpacked)]) + unpacked + symbols

    decoded = decode(body)

    assert all_labels(decoded) == [{"__name__": "a"}]
    assert decoded.times_ms.tolist() == [5]


def test_the_start_of_a_series_of_the_first_drafts_is_that_of_its_samples() -> None:
    """Field 6 of TimeSeries; a sample's own start wins."""
    request = WriteRequest2(symbols=["", "__name__", "a"])
    one = request.timeseries.add(labels_refs=[1, 2], created_timestamp=7)
    one.samples.add(value=1, timestamp=10)
    one.samples.add(value=2, timestamp=11, start_timestamp=9)

    assert decode(request.SerializeToString()).starts_ms.tolist() == [7, 9]


@pytest.mark.parametrize("references", [[1, 3], [3, 1], [1], [1, 2, 1], [2**32 - 1, 1]])
def test_references_that_lead_nowhere_are_a_fault_of_their_series(references: list[int]) -> None:
    request = WriteRequest2(symbols=["", "__name__", "a"])
    request.timeseries.add(labels_refs=references).samples.add(timestamp=1)
    request.timeseries.add(labels_refs=[1, 2]).samples.add(timestamp=2)

    decoded = decode(request.SerializeToString())

    assert decoded.series_ids.tolist() == [0, series_id_of(SEED, {"__name__": "a"})]
    table = decoded.labels_of(np.arange(2))
    with pytest.raises(ValueError, match="does not have"):
        table.labels(0)
    assert table.labels(1) == [("__name__", "a")]


def test_what_is_not_taken_is_counted() -> None:
    request = WriteRequest2(symbols=[""])
    one = request.timeseries.add()
    one.histograms.add()
    one.exemplars.add()
    one.exemplars.add()

    decoded = decode(request.SerializeToString())

    assert (decoded.n_histograms, decoded.n_exemplars, len(decoded.values)) == (1, 2, 0)


@pytest.mark.parametrize("symbols", [[], ["a", ""]])
def test_symbols_begin_with_the_empty_one(symbols: list[str]) -> None:
    """References of 0 mean "nothing", so anything else in its place would be taken for a unit."""
    request = WriteRequest2(symbols=symbols)
    request.timeseries.add()

    with pytest.raises(MalformedBody, match="empty string"):
        decode(request.SerializeToString())


def test_an_empty_request_holds_nothing() -> None:
    assert len(decode(b"").series_ids) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x2a",
        b"\x22\xff",
        b"\x22\x05abc",
        b"\x22\x00\x2a\x02\x0a\x05",
        b"\xff" * 11,
        b"\x22\x00\x2a\x04\x0a\x02\x01\x80",
        b"\x22\x00\x2a\x04\x2a\x02\x08\x80",
        b"\x22\x00\x2a\x04\x12\x02\x10\x80",
    ],
)
def test_a_broken_body_says_where(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="broken near byte"):
        decode(body)

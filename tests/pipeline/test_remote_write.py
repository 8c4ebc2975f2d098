"""Remote write 1.0 from its wire bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.label_cache import LabelCache
from pipeline.remote_write import decode_write_request
from tests.decoding import all_labels
from tests.strategies import labels
from tests.vectors import remote_write as vector

SEED = tenant_hash("default")


def as_array(body: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(body, dtype=np.uint8)


def test_the_committed_body_is_what_the_official_runtime_makes() -> None:
    assert vector.write_request(vector.LABELS, vector.SAMPLES) == vector.FILE.read_bytes()


def test_the_committed_body_decodes_to_its_series_and_samples() -> None:
    body = as_array(vector.FILE.read_bytes())

    request = decode_write_request(body, SEED).samples

    assert all_labels(request) == vector.LABELS
    assert request.series_ids.tolist() == [series_id_of(SEED, of) for of in vector.LABELS]
    assert request.sample_series.tolist() == [0, 0, 1, 2, 2]
    flat = [sample for of_series in vector.SAMPLES for sample in of_series]
    assert request.times_ms.tolist() == [time for time, _ in flat]
    expected = np.array([value for _, value in flat])
    assert request.values.view(np.uint64).tolist() == expected.view(np.uint64).tolist()


finite_or_not = st.floats(allow_nan=True)
points = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), finite_or_not), max_size=5)


@given(st.lists(st.tuples(labels, points), max_size=5))
def test_agrees_with_the_official_runtime(
    series: list[tuple[dict[str, str], list[tuple[int, float]]]],
) -> None:
    body = as_array(vector.write_request([of for of, _ in series], [p for _, p in series]))

    request = decode_write_request(body, SEED).samples

    assert request.series_ids.tolist() == [series_id_of(SEED, of) for of, _ in series]
    flat = [(at, *point) for at, (_, of_series) in enumerate(series) for point in of_series]
    assert request.sample_series.tolist() == [at for at, _, _ in flat]
    assert request.times_ms.tolist() == [time for _, time, _ in flat]
    np.testing.assert_array_equal(request.values, [value for _, _, value in flat])


@given(st.lists(st.tuples(labels, points), min_size=1, max_size=5))
def test_labels_seen_before_give_the_same_ids(
    series: list[tuple[dict[str, str], list[tuple[int, float]]]],
) -> None:
    """Bodies decode alike without a cache, into an empty one and from a filled one."""
    body = as_array(vector.write_request([of for of, _ in series], [p for _, p in series]))
    cache = LabelCache(100)

    requests = [decode_write_request(body, SEED, cache).samples for _ in range(2)]

    expected = decode_write_request(body, SEED).samples
    for request in requests:
        assert request.series_ids.tolist() == expected.series_ids.tolist()
        assert request.sample_series.tolist() == expected.sample_series.tolist()
        assert request.times_ms.tolist() == expected.times_ms.tolist()
        np.testing.assert_array_equal(request.values, expected.values)
    assert len(cache) == len({tuple(of.items()) for of, _ in series})


def test_a_cached_id_is_of_its_tenant_and_of_all_its_labels() -> None:
    """A label that follows a sample counts, though the labels before it are known."""
    label, other = b"\n\x06" + b"\n\x01b\x12\x01c", b"\n\x06" + b"\n\x01d\x12\x01e"
    sample = b"\x12\x02\x10\x01"
    cache = LabelCache(100)

    def id_of(fields: bytes, tenant: str = "default") -> int:
        body = as_array(b"\n" + bytes([len(fields)]) + fields)
        return int(decode_write_request(body, tenant_hash(tenant), cache).samples.series_ids[0])

    ids = [id_of(label + sample), id_of(label + sample + other), id_of(label, "another")]

    assert ids == [
        series_id_of(SEED, {"b": "c"}),
        series_id_of(SEED, {"b": "c", "d": "e"}),
        series_id_of(tenant_hash("another"), {"b": "c"}),
    ]


def test_a_full_cache_forgets_but_never_errs() -> None:
    """With 1,000 series through a cache of 16, every id is right, twice over."""
    cache = LabelCache(16)
    each = [{"__name__": f"metric_{number}"} for number in range(1000)]
    body = as_array(vector.write_request(each, [[(1, 1.0)]] * len(each)))

    for _ in range(2):
        ids = decode_write_request(body, SEED, cache).samples.series_ids.tolist()

        assert ids == [series_id_of(SEED, of) for of in each]
    assert len(cache.slots) == 16


def test_order_of_labels_does_not_matter_and_empty_ones_do_not_count() -> None:
    swapped = (
        bytes.fromhex("0a1b")
        + (b"\n\x06" + b"\n\x01b\x12\x01c")
        + (b"\n\x0d" + b"\n\x08__name__\x12\x01a")
        + (b"\n\x02" + b"\n\x00")
    )
    expected = series_id_of(SEED, {"__name__": "a", "b": "c"})

    request = decode_write_request(as_array(swapped), SEED).samples

    assert request.series_ids.tolist() == [expected]


def test_a_body_of_version_2_is_refused_and_an_empty_one_is_none() -> None:
    """None of its fields is one of 1.0: it would be read as nothing, and be lost."""
    body = vector.write_request_2([vector.Series2({"__name__": "a"}, [(1, 1.0, 0)], 0, "")])

    with pytest.raises(MalformedBody, match=r"version 2.0 .*;proto=io\.prometheus\.write\.v2"):
        decode_write_request(as_array(body), SEED)

    assert len(decode_write_request(as_array(b""), SEED).samples.values) == 0


def test_unknown_fields_are_skipped_and_what_is_not_taken_is_counted() -> None:
    """Exemplars are field 3 of a series, histograms 4; metadata is field 3 of the request."""
    inner = b"\x1a\x02ab" + b"\x22\x01z" + b"\x28\x05" + b"\x31" + bytes(8) + b"\x3d" + bytes(4)
    body = b"\x1a\x01m" + b"\x0a" + bytes([len(inner)]) + inner

    request = decode_write_request(as_array(body), SEED)

    samples = request.samples
    assert (len(samples.series_ids), len(samples.values)) == (1, 0)
    assert (samples.n_histograms, samples.n_exemplars) == (1, 1)
    assert samples.histogram_series.tolist() == [0]
    assert request.metadata_spans.tolist() == [[2, 3]]


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_damaged_body_is_refused_or_decoded_never_more(at: int, byte: int) -> None:
    body = bytearray(vector.FILE.read_bytes())
    body[at % len(body)] = byte
    for cut in (len(body), at % len(body)):
        try:
            request = decode_write_request(as_array(bytes(body[:cut])), SEED).samples
        except MalformedBody:
            continue
        assert len(request.sample_series) == len(request.times_ms) <= cut // 2
        for series in range(len(request.series_ids)):
            table = request.labels_of(np.array([series]))
            try:
                labels = table.labels(0)
            except UnicodeDecodeError:
                continue
            assert sum(len(name) + len(value) for name, value in labels) <= cut


@pytest.mark.parametrize(
    "body",
    [b"\x0a", b"\x0a\xff", b"\x0a\x05abc", b"\x0a\x02\x0a\x05", b"\xff" * 11, b"\x0f"],
)
def test_a_broken_body_says_where(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="broken near byte"):
        decode_write_request(as_array(body), SEED)

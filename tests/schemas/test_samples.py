"""The record of topic `samples`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.block import Kind
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.samples import (
    MAX_BYTES_PER_SAMPLE,
    STALE_MARKER_BITS,
    SampleBlock,
    decode_samples,
    encode_samples,
    tick,
)
from tests.strategies import sample_blocks

VECTORS = Path(__file__).parent.parent / "vectors"
GOLDEN = VECTORS / "samples_v2.bin"


def golden_blocks() -> list[SampleBlock]:
    """Return blocks that use every packing: constant, offsets of each width, raw."""
    ids = np.array([1, 2**63, 2**64 - 1], dtype=np.uint64)
    bits = np.array([0x3FF8000000000000, STALE_MARKER_BITS, 0x8000000000000000], dtype=np.uint64)
    spans = ([0, 0, 0], [0, 1, 255], [0, 1, 65_535], [0, 1, 2**32 - 1], [-(2**63), 0, 2**63 - 1])
    base = 1_700_000_000_000
    return [
        *(
            SampleBlock(
                "default",
                base,
                30,
                ids,
                np.array(span) + (base if at < 4 else 0),
                bits.view(np.float64),
            )
            for at, span in enumerate(spans)
        ),
        SampleBlock("é", -1, 1, ids[:2], np.array([5, 6]), np.array([2.5, 2.5]), 3, 1024),
        tick(base, 16),
    ]


def assert_equal(one: SampleBlock, other: SampleBlock) -> None:
    assert (one.flags, one.n_partitions) == (other.flags, other.n_partitions)
    assert (one.tenant, one.receive_ms, one.retention_days) == (
        other.tenant,
        other.receive_ms,
        other.retention_days,
    )
    np.testing.assert_array_equal(one.series_ids, other.series_ids)
    np.testing.assert_array_equal(one.times_ms, other.times_ms)
    np.testing.assert_array_equal(one.values.view(np.uint64), other.values.view(np.uint64))


@given(st.lists(sample_blocks(), min_size=1, max_size=4))
def test_what_is_encoded_is_decoded_bit_by_bit(blocks: list[SampleBlock]) -> None:
    decoded = decode_samples(encode_samples(blocks))

    assert len(decoded) == len(blocks)
    for one, other in zip(decoded, blocks, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("n", [1, 100_000])
def test_a_record_of_any_size_keeps_its_samples(n: int) -> None:
    rng = np.random.default_rng(n)
    block = SampleBlock(
        "t",
        1,
        30,
        rng.integers(0, 2**64, n, dtype=np.uint64),
        rng.integers(0, 2**40, n),
        rng.random(n),
    )

    record = encode_samples([block])

    assert_equal(decode_samples(record)[0], block)
    assert len(record) <= n * MAX_BYTES_PER_SAMPLE + 64


def test_one_time_for_all_takes_no_room() -> None:
    ids = np.arange(1000, dtype=np.uint64)
    block = SampleBlock("t", 1, 30, ids, np.full(1000, 1_700_000_000_000), np.arange(1000.0))

    assert len(encode_samples([block])) < 1000 * 16 + 64


def test_the_format_is_that_of_the_golden_file() -> None:
    """An accidental change of the format fails here; a wanted one raises the version."""
    assert encode_samples(golden_blocks()) == GOLDEN.read_bytes()
    for one, other in zip(decode_samples(GOLDEN.read_bytes()), golden_blocks(), strict=True):
        assert_equal(one, other)


def test_version_1_is_still_read_and_says_nothing_of_flags() -> None:
    """Records of the release before stand in the log for days after an upgrade."""
    blocks = decode_samples((VECTORS / "samples_v1.bin").read_bytes())

    for one, other in zip(blocks, golden_blocks(), strict=True):
        assert_equal(one, replace(other, flags=0, n_partitions=0))


def test_an_unknown_version_is_named_and_is_not_an_invalid_record() -> None:
    record = bytearray(encode_samples([tick(1)]))
    record[3] = 9

    with pytest.raises(UnknownVersion, match="samples record of format version 9"):
        decode_samples(bytes(record))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda r: b"", "0 bytes are too few"),
        (lambda r: r[:10], "too few for a block header"),
        (lambda r: b"XX" + r[2:], "not with b'OA'"),
        (lambda r: r[:-1], "block length"),
        (lambda r: r + b"x", "too few"),
        (lambda r: r[:2] + bytes([Kind.ROLLUPS]) + r[3:], "block kind 3 where samples belongs"),
        (lambda r: r[:16] + b"\xff\xff\xff\xff" + r[20:], "rows do not fit"),
        (lambda r: r[:16] + b"\x01" + r[17:], "after the last column"),
        (lambda r: r[:24] + b"\xff" + r[25:], "not UTF-8"),
    ],
)
def test_a_damaged_record_says_what_is_wrong(damage, reason: str) -> None:  # type: ignore[no-untyped-def]
    ids = np.array([1, 2], dtype=np.uint64)
    record = encode_samples([SampleBlock("t", 1, 30, ids, np.array([1, 2]), np.array([1.0, 2.0]))])

    with pytest.raises(InvalidRecord, match=reason):
        decode_samples(damage(record))


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_no_bytes_break_the_decoder(noise: bytes, at: int, byte: int) -> None:
    """Whatever comes is decoded or refused, and nothing else happens."""
    record = bytearray(GOLDEN.read_bytes())
    record[at % len(record)] = byte
    for payload in (noise, bytes(record), b"OA\x01\x02" + noise):
        try:
            decode_samples(payload)
        except (InvalidRecord, UnknownVersion):
            continue

"""Bodies unfold to their last byte, within their bounds, or are refused."""

import gzip
import sys
import tracemalloc
from collections.abc import Callable

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MalformedBody
from topology.edge.compression import BodyTooLarge, Decompressor, Encoding, hold_nothing

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
COMPRESS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.NONE: bytes,
    Encoding.GZIP: lambda body: gzip.compress(body, mtime=0),
    Encoding.ZSTD: zstd.compress,
    Encoding.SNAPPY: lambda body: bytes(cramjam.snappy.compress_raw(body)),
}
STREAMS = [Encoding.GZIP, Encoding.ZSTD]


def unfold(body: bytes, encoding: Encoding, max_bytes: int = 64 * MIB) -> bytes:
    with Decompressor(max_bytes).plain(body, encoding) as plain:
        assert not plain.flags.writeable
        return plain.tobytes()


@pytest.mark.parametrize("encoding", Encoding)
@settings(max_examples=30)
@given(body=st.binary(max_size=200), times=st.integers(1, 20_000))
def test_a_body_comes_back_as_it_was(encoding: Encoding, body: bytes, times: int) -> None:
    assert unfold(COMPRESS[encoding](body * times), encoding) == body * times


@pytest.mark.parametrize("encoding", STREAMS)
def test_all_members_are_read(encoding: Encoding) -> None:
    """A log shipper may append compressed pieces; an empty one among them counts as nothing."""
    pieces = [b"first ", b"", b"second " * 50_000, b"last"]

    assert unfold(b"".join(map(COMPRESS[encoding], pieces)), encoding) == b"".join(pieces)


@pytest.mark.parametrize("encoding", STREAMS)
def test_members_are_bounded_in_number(encoding: Encoding) -> None:
    with pytest.raises(MalformedBody, match="more than 10000 members"):
        unfold(COMPRESS[encoding](b"") * 10_001, encoding)


@pytest.mark.parametrize("encoding", STREAMS)
@pytest.mark.parametrize("rubbish", [b"x", b"\0" * 8, b"trailing rubbish"])
def test_rubbish_after_the_last_member_is_refused(encoding: Encoding, rubbish: bytes) -> None:
    with pytest.raises(MalformedBody, match=f"not {encoding}"):
        unfold(COMPRESS[encoding](b"body") + rubbish, encoding)


@pytest.mark.parametrize("encoding", [*STREAMS, Encoding.SNAPPY])
def test_a_body_that_ends_early_is_refused(encoding: Encoding) -> None:
    whole = COMPRESS[encoding](bytes(range(256)) * 300)

    for cut in {0, 1, 2, 5, 12, len(whole) // 2, len(whole) - 1}:
        with pytest.raises(MalformedBody, match=f"not {'a ' * (encoding == 'snappy')}{encoding}"):
            unfold(whole[:cut], encoding)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_body_may_have_the_bound_and_no_byte_more(encoding: Encoding) -> None:
    assert len(unfold(COMPRESS[encoding](bytes(5000)), encoding, 5000)) == 5000
    with pytest.raises(BodyTooLarge, match="over 5000 bytes after decompression"):
        unfold(COMPRESS[encoding](bytes(5001)), encoding, 5000)


@pytest.mark.parametrize("encoding", [*STREAMS, Encoding.SNAPPY])
def test_a_bomb_stops_at_the_bound(encoding: Encoding) -> None:
    """64 MiB of zeros in few bytes: not much more than the bound is ever held of them."""
    bomb = COMPRESS[encoding](bytes(64 * MIB))
    tracemalloc.start()

    with pytest.raises(BodyTooLarge):
        unfold(bomb, encoding, 4 * MIB)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * MIB


@pytest.mark.parametrize("encoding", [*STREAMS, Encoding.SNAPPY])
def test_what_a_body_becomes_is_told_while_it_grows(encoding: Encoding) -> None:
    held: list[int] = []

    with Decompressor(64 * MIB).plain(
        COMPRESS[encoding](bytes(5 * MIB)), encoding, held.append
    ) as plain:
        assert sum(held) == len(plain) == 5 * MIB
    assert max(held) <= (5 * MIB if encoding is Encoding.SNAPPY else MIB)


def test_a_refusal_of_more_memory_ends_the_work() -> None:
    taken = 0

    def hold(size: int) -> None:
        nonlocal taken
        taken += size
        if taken > 2 * MIB:
            raise InterruptedError

    with (
        pytest.raises(InterruptedError),
        Decompressor(64 * MIB).plain(gzip.compress(bytes(50 * MIB)), Encoding.GZIP, hold),
    ):
        pass
    assert taken <= 3 * MIB


def test_two_bodies_at_once_do_not_share_their_place() -> None:
    decompressor = Decompressor(MIB)
    first, second = (COMPRESS[Encoding.SNAPPY](letter * 100) for letter in (b"a", b"b"))

    with (
        decompressor.plain(first, Encoding.SNAPPY, hold_nothing) as one,
        decompressor.plain(second, Encoding.SNAPPY, hold_nothing) as other,
    ):
        assert (one.tobytes(), other.tobytes()) == (b"a" * 100, b"b" * 100)


def test_a_frame_that_wants_a_window_of_gigabytes_is_refused() -> None:
    options = {
        int(zstd.CompressionParameter.window_log): 27,
        int(zstd.CompressionParameter.content_size_flag): 0,
    }
    stream = zstd.ZstdCompressor(options=options)
    body = stream.compress(bytes(MIB)) + stream.flush()

    with pytest.raises(MalformedBody, match="not zstd"):
        unfold(body, Encoding.ZSTD)

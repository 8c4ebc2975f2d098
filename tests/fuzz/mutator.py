"""Damages bodies: bytes, pieces, numbers, and what stands in a format's dictionary; seeded."""

import random
from collections.abc import Callable, Sequence

_BYTES = (0, 1, 9, 10, 13, 32, 34, 44, 61, 92, 0x7F, 0x80, 0xC0, 0xFF)
_NUMBERS = (
    *(b"0 -0 1e400 -1e-400 NaN +Inf 9223372036854775808 18446744073709551616 1e17 0.1e1".split()),
    b"00012",
    b"1" * 400,
)
_VARINTS = (b"\x00", b"\x01", b"\x7f", b"\x80\x01", b"\xff" * 9 + b"\x01", b"\xff" * 10)
_MOST_BYTES = 4096


class Mutator:
    """Makes bodies out of those of a corpus.

    dictionary: words that mean something in the format.
    """

    def __init__(self, corpus: Sequence[bytes], dictionary: Sequence[bytes], seed: int) -> None:
        self._corpus = corpus
        self._dictionary = [*dictionary, *_NUMBERS, *_VARINTS]
        self._rng = random.Random(seed)
        self._ways: list[Callable[[bytearray], None]] = [
            self._flip,
            self._replace,
            self._remove,
            self._repeat,
            self._insert,
            self._splice,
            self._cut,
            self._swap,
        ]

    def next(self) -> bytes:
        """Return a body of the corpus with one to eight damages."""
        rng = self._rng
        body = bytearray(rng.choice(self._corpus))
        for _ in range(rng.choice((1, 1, 2, 3, 8))):
            rng.choice(self._ways)(body)
        return bytes(body[:_MOST_BYTES])

    def _span(self, body: bytearray) -> tuple[int, int]:
        start = self._rng.randint(0, len(body))
        return start, min(len(body), start + self._rng.choice((1, 1, 2, 4, 16, 64)))

    def _flip(self, body: bytearray) -> None:
        if body:
            body[self._rng.randrange(len(body))] ^= 1 << self._rng.randrange(8)

    def _replace(self, body: bytearray) -> None:
        if body:
            body[self._rng.randrange(len(body))] = self._rng.choice((*_BYTES, *body[:4]))

    def _remove(self, body: bytearray) -> None:
        start, end = self._span(body)
        del body[start:end]

    def _repeat(self, body: bytearray) -> None:
        start, end = self._span(body)
        body[start:start] = body[start:end] * self._rng.choice((1, 2, 20))

    def _insert(self, body: bytearray) -> None:
        start, end = self._span(body)
        body[start : self._rng.choice((start, end))] = self._rng.choice(self._dictionary)

    def _splice(self, body: bytearray) -> None:
        other = self._rng.choice(self._corpus)
        start, end = self._span(body)
        first = self._rng.randint(0, len(other))
        body[start : self._rng.choice((start, end, len(body)))] = other[first:]

    def _cut(self, body: bytearray) -> None:
        del body[self._rng.randint(0, len(body)) :]

    def _swap(self, body: bytearray) -> None:
        start, end = self._span(body)
        piece = body[start:end]
        del body[start:end]
        at = self._rng.randint(0, len(body))
        body[at:at] = piece

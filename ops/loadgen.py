"""Remote write from the sender's side: bodies made fast, and sent over a few connections."""

import asyncio
import math
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import cramjam
import numpy as np
from numpy.typing import NDArray

_TIMESERIES, _LABEL, _NAME = b"\x0a", b"\x0a", b"\x0a"
_LABEL_VALUE = b"\x12"
# A Sample message of 16 bytes: field 1, a double; field 2, a varint that takes 6 bytes.
_SAMPLE = b"\x12\x10\x09" + bytes(8) + b"\x10" + bytes(6)
_VALUE_AT, _TIME_AT = 3, 12
_TIME_BYTES = 6
# Times whose varint takes exactly 6 bytes: 1971 to 2109.
_FIRST_MS, _LAST_MS = 1 << 35, (1 << 42) - 1

_FIRST_WAIT_S, _LAST_WAIT_S = 0.1, 5.0
_ANSWER_TIMEOUT_S = 30.0


class SendError(Exception):
    """A body was refused for good, or not taken in time; the text is the receiver's."""


@dataclass(frozen=True, slots=True)
class Body:
    """One request's body, compressed, and its number of samples; key: None for the sender's."""

    payload: bytes
    n_samples: int
    key: str | None = None


@dataclass(slots=True)
class Sent:
    """What a receiver has accepted, and how long that took."""

    n_samples: int = 0
    n_requests: int = 0
    n_retries: int = 0
    n_bytes: int = 0
    seconds: float = 0.0


class RequestTemplate:
    """A WriteRequest of one sample a series; only times and values change from body to body.

    The place of every time and value is known beforehand, so a body is one copy and two
    assignments of whole arrays.
    """

    def __init__(self, series: Sequence[bytes]) -> None:
        """Lay the request out; series: encode_series of each, repeats allowed."""
        heads = [_TIMESERIES + _varint(len(one) + len(_SAMPLE)) + one for one in series]
        self._text = np.frombuffer(b"".join(head + _SAMPLE for head in heads), dtype=np.uint8)
        sizes = np.array([len(head) + len(_SAMPLE) for head in heads], dtype=np.int64)
        sample_at = (np.cumsum(sizes) - len(_SAMPLE))[:, None]
        self._value_at = sample_at + _VALUE_AT + np.arange(8)
        self._time_at = sample_at + _TIME_AT + np.arange(_TIME_BYTES)

    def __len__(self) -> int:
        return len(self._value_at)

    def encode(self, times_ms: NDArray[np.int64] | int, values: NDArray[np.float64]) -> bytes:
        """Return the request before compression.

        times_ms: one for all, or shape (n,). values: shape (n,), NaN payloads kept.
        Raises ValueError for times outside 1971..2109.
        """
        times = np.broadcast_to(np.asarray(times_ms, dtype=np.int64), len(self))
        text = self._text.copy()
        text[self._value_at] = _bytes_of(values)
        text[self._time_at] = _varints(times)
        return text.tobytes()

    def body(self, times_ms: NDArray[np.int64] | int, values: NDArray[np.float64]) -> Body:
        """Return the request as it is sent: a snappy block."""
        return Body(bytes(cramjam.snappy.compress_raw(self.encode(times_ms, values))), len(self))


def encode_series(labels: Mapping[str, str]) -> bytes:
    """Return the label fields of a TimeSeries message, sorted by name; labels hold `__name__`."""
    return b"".join(
        _LABEL + _field(_field_of(_NAME, name) + _field_of(_LABEL_VALUE, value))
        for name, value in sorted(labels.items())
    )


async def send(
    url: str,
    key: str,
    steps: Iterable[Sequence[Body]],
    connections: int = 4,
    samples_per_s: float = math.inf,
) -> Sent:
    """Send step by step, the bodies of one step side by side; return what was accepted.

    A step begins when the one before it is acknowledged as a whole, so the samples of a series
    arrive in the order of time, and no part of the load runs ahead of another; and not before
    the pace allows it. Raises SendError.
    """
    sent = Sent()
    senders = [Sender(url, key) for _ in range(connections)]
    began_s = time.perf_counter()
    try:
        for step in steps:
            ahead_s = sent.n_samples / samples_per_s - (time.perf_counter() - began_s)
            await asyncio.sleep(max(0.0, ahead_s))
            left = iter(step)
            async with asyncio.TaskGroup() as group:
                for sender in senders[: len(step)]:
                    group.create_task(_send_some(sender, left, sent))
    except ExceptionGroup as group_error:
        # Not `except*`: before Python 3.11.4 what that raises is a group again.
        refused, others = group_error.split(SendError)
        if refused is None or others is not None:
            raise
        raise SendError(str(refused.exceptions[0])) from None
    finally:
        for sender in senders:
            sender.close()
    sent.seconds = time.perf_counter() - began_s
    return sent


async def _send_some(sender: "Sender", bodies: Iterator[Body], sent: Sent) -> None:
    for body in bodies:
        sent.n_retries += await sender.send(body)
        sent.n_samples += body.n_samples
        sent.n_requests += 1
        sent.n_bytes += len(body.payload)


class Sender:
    """One kept connection to a remote write receiver, made again when it breaks."""

    def __init__(self, url: str, key: str, deadline_s: float = 60.0) -> None:
        parts = urllib.parse.urlsplit(url)
        self._url = url
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._deadline_s = deadline_s
        self._key = key
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/x-protobuf\r\n"
            "Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
            "User-Agent: observai-loadgen\r\n"
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, body: Body) -> int:
        """Send until accepted; return how often it had to be sent again. Raises SendError."""
        until_s = time.monotonic() + self._deadline_s
        wait_s, n_retries = _FIRST_WAIT_S, 0
        while True:
            try:
                status, text, retry_after_s = await self._post(body)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                status, text, retry_after_s = 0, f"no answer: {error!r}", None
                self.close()
            if 200 <= status < 300:
                return n_retries
            busy = status in {0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
            pause_s = wait_s if retry_after_s is None else retry_after_s
            if not busy or time.monotonic() + pause_s > until_s:
                raise SendError(f"{self._url} ({status}): {text.strip()}")
            await asyncio.sleep(pause_s)
            wait_s, n_retries = min(2 * wait_s, _LAST_WAIT_S), n_retries + 1

    def close(self) -> None:
        """Drop the connection."""
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _post(self, body: Body) -> tuple[int, str, float | None]:
        """Return status, body and Retry-After of one attempt."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        head = (
            f"{self._head}Authorization: Bearer {body.key or self._key}\r\n"
            f"Content-Length: {len(body.payload)}\r\n\r\n"
        )
        writer.write(head.encode() + body.payload)
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = answer.strip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            text = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        after = headers.get("retry-after", "")
        return int(first.split()[1]), text.decode(), float(after) if after.isdecimal() else None


def _varint(number: int) -> bytes:
    text = bytearray()
    while number > 0x7F:
        text.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*text, number])


def _field(message: bytes) -> bytes:
    return _varint(len(message)) + message


def _field_of(tag: bytes, text: str) -> bytes:
    return tag + _field(text.encode())


def _bytes_of(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8)


def _varints(times_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the varint of each time, shape (n, 6)."""
    if len(times_ms) and not _FIRST_MS <= times_ms.min() <= times_ms.max() <= _LAST_MS:
        raise ValueError(
            f"times {times_ms.min()}..{times_ms.max()} ms: 1971 to 2109 fit the layout"
        )
    shifts = 7 * np.arange(_TIME_BYTES)
    digits = (times_ms[:, None] >> shifts) & 0x7F
    digits[:, :-1] |= 0x80
    return digits.astype(np.uint8)

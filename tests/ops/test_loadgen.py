"""Bodies made by the load generator are read back by the decoder; the sender gives up nothing."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import cramjam
import numpy as np
import pytest
from numpy.typing import NDArray

from ops.bench.scrapes import (
    SAMPLES_PER_REQUEST,
    STEP_MS,
    Scrapes,
    encode_load,
    labels_of_series,
    scrape_times_ms,
)
from ops.loadgen import Body, RequestTemplate, Sender, SendError, encode_series, send
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.remote_write import decode_write_request
from tests.decoding import all_labels

SEED = tenant_hash("default")
NOW_MS = 1_795_000_000_000


def plain(body: Body) -> NDArray[np.uint8]:
    return np.frombuffer(bytes(cramjam.snappy.decompress_raw(body.payload)), dtype=np.uint8)


def test_a_body_decodes_to_the_labels_times_and_values_it_was_made_of() -> None:
    """NaN payloads and negative numbers survive; one time a sample."""
    labels = [{"__name__": "a", "host": "ä" * 100}, {"__name__": "b"}]
    times = np.array([NOW_MS, NOW_MS + 1])
    values = np.array([-1.5, np.uint64(0x7FF0000000000002).view(np.float64)])

    text = plain(RequestTemplate([encode_series(one) for one in labels]).body(times, values))
    request = decode_write_request(text, SEED).samples

    assert all_labels(request) == labels
    assert request.series_ids.tolist() == [series_id_of(SEED, one) for one in labels]
    assert request.times_ms.tolist() == times.tolist()
    assert request.values.view(np.uint64).tolist() == values.view(np.uint64).tolist()


@pytest.mark.parametrize("time_ms", [1 << 35, (1 << 42) - 1, NOW_MS, (1 << 41) + 127])
def test_every_time_of_the_layout_survives(time_ms: int) -> None:
    """The varint always takes six bytes."""
    template = RequestTemplate([encode_series({"__name__": "a"})])

    request = decode_write_request(plain(template.body(time_ms, np.array([0.0]))), SEED).samples

    assert request.times_ms.tolist() == [time_ms]


@pytest.mark.parametrize("time_ms", [0, (1 << 35) - 1, 1 << 42])
def test_a_time_that_does_not_fit_the_layout_is_refused(time_ms: int) -> None:
    """It would become another time."""
    with pytest.raises(ValueError, match="1971 to 2109"):
        RequestTemplate([encode_series({"__name__": "a"})]).encode(time_ms, np.array([0.0]))


@pytest.mark.parametrize("together", [1, 3])
def test_a_load_holds_every_series_at_every_step_once(together: int) -> None:
    """The last scrape is of the time asked for, and equal seeds give equal bytes."""
    times_ms = scrape_times_ms(6, NOW_MS)
    load = encode_load(2_500, times_ms, 7, together)
    ids = {series_id_of(SEED, labels) for labels in labels_of_series(2_500)}

    assert len(ids) == 2_500
    assert times_ms.tolist() == [NOW_MS - back * STEP_MS for back in (5, 4, 3, 2, 1, 0)]
    for step, times in zip(load, times_ms.reshape(-1, together), strict=True):
        requests = [decode_write_request(plain(body), SEED).samples for body in step]
        found = [
            pair
            for one in requests
            for pair in zip(one.series_ids.tolist(), one.times_ms.tolist(), strict=True)
        ]
        assert len(found) == len(ids) * together
        assert set(found) == {(one, time) for one in ids for time in times.tolist()}
        assert max(body.n_samples for body in step) <= SAMPLES_PER_REQUEST
    assert load == encode_load(2_500, times_ms, 7, together)


def test_generated_counters_never_fall() -> None:
    """The first 11 of 20 kinds are counters."""
    scrapes = Scrapes(200, np.random.default_rng(1))
    counters = np.arange(200) % 20 < 11

    values = [scrapes.next()[counters] for _ in range(20)]

    assert all((after >= before).all() for before, after in itertools.pairwise(values))
    assert (values[-1] > values[0]).sum() == 80


async def test_a_busy_receiver_is_asked_again_until_it_accepts() -> None:
    """503 with Retry-After, then a broken connection, then 204: counted once."""
    answers = iter([b"503 Busy\r\nRetry-After: 0", b"", b"204 No Content"])

    async with receiver(lambda _: next(answers)) as (url, requests):
        sent = await send(url, "key", [[Body(b"abc", 5)]], connections=1)

    assert (sent.n_samples, sent.n_requests, sent.n_retries) == (5, 1, 2)
    assert [body for _, body in requests] == [b"abc"] * 3
    assert "Authorization: Bearer key" in requests[0][0]


async def test_a_refusal_ends_the_sending_with_the_receivers_words() -> None:
    """What is refused for good is not sent again."""
    async with receiver(lambda _: b"400 Bad Request") as (url, requests):
        with pytest.raises(SendError, match=r"\(400\): why"):
            await send(url, "key", [[Body(b"abc", 5)] * 3], connections=2)

    assert len(requests) <= 2


async def test_a_receiver_that_stays_away_is_given_up_at_the_deadline() -> None:
    """The text says that nobody answered."""
    async with receiver(lambda _: b"204 No Content") as (url, _):
        pass

    with pytest.raises(SendError, match="no answer"):
        await Sender(url, "key", deadline_s=0.2).send(Body(b"abc", 1))


async def test_a_step_begins_when_the_one_before_is_acknowledged() -> None:
    """So a series' samples arrive in the order of time, whatever connection takes them."""
    steps = [[Body(f"{step}".encode(), 1)] * 6 for step in range(4)]

    async with receiver(lambda _: b"204 No Content") as (url, requests):
        sent = await send(url, "key", steps, connections=3)

    assert sent.n_samples == 24
    assert [int(body) for _, body in requests] == sorted(int(body) for _, body in requests)


@asynccontextmanager
async def receiver(
    answer: Callable[[bytes], bytes],
) -> AsyncIterator[tuple[str, list[tuple[str, bytes]]]]:
    """Serve HTTP; answer gives the status line and headers, empty: the connection is cut."""
    requests: list[tuple[str, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                requests.append((head, await reader.readexactly(size)))
                status = answer(requests[-1][1])
                if not status:
                    break
                text = b"" if status.startswith(b"204") else b"why"
                length = str(len(text)).encode()
                writer.write(
                    b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n\r\n" + text
                )
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/write", requests
    finally:
        server.close()
        await server.wait_closed()

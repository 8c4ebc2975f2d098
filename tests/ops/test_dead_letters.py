"""Dead letters: what is shown of them, what can be put back, and that it is."""

import numpy as np
import pytest

from ops.dead_letters import Letter, look, merge, put_back, why_it_stays
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.samples import SampleBlock, encode_samples
from schemas.topics import Topic
from tests.topology.running import bootstrap, producing, read_topic
from topology.settings import Settings

COUNTS = {Topic.SAMPLES: 4, Topic.EVENTS: 1}
# Series of partitions 0 and 3 of 4.
FIRST, LAST = 1, (1 << 64) - 1


def letter(stage: str, record: bytes, topic: str = "samples", partition: int = 0) -> DeadLetter:
    return DeadLetter(stage, topic, partition, 7, "why", record)


def samples(series_id: int) -> bytes:
    ids = np.array([series_id], dtype=np.uint64)
    return encode_samples([SampleBlock("t", 0, 1, ids, np.zeros(1, dtype=np.int64), np.ones(1))])


def test_letters_of_several_stages_about_a_record_are_one() -> None:
    found = merge(Letter(letter(stage, b"x"), 5) for stage in ("window", "archive", "archive"))

    assert [(one.stages, one.time_ms) for one in found] == [(("window", "archive"), 5)]


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (letter("archive", samples(FIRST)), None),
        (letter("archive", samples(LAST), partition=3), None),
        (letter("archive", samples(LAST)), "its series are on other partitions since"),
        (letter("archive", samples(LAST), partition=9), "topic samples has 4 partitions"),
        (letter("archive", b"noise"), "cannot be read by this build either: 5 bytes are too few"),
        (letter("x", b"", topic="config"), "nothing is put back on topic config"),
    ],
)
def test_only_what_can_be_read_and_belongs_there_is_put_back(
    of: DeadLetter, why: str | None
) -> None:
    found = why_it_stays(of, COUNTS)

    assert found is None if why is None else (found or "").startswith(why)


@pytest.mark.broker
async def test_what_can_be_read_now_is_put_back_where_it_was(own_settings: Settings) -> None:
    await bootstrap(own_settings)
    good = samples(LAST)
    letters = [letter("window", good, partition=3), letter("window", b"noise")]
    async with producing(own_settings) as producer:
        for one in letters:
            topic = own_settings.topic(Topic.DEAD_LETTERS)
            await producer.send_and_wait(topic, encode_dead_letter(one))

    found = await look(own_settings)
    done = await put_back(own_settings, found)

    assert [one.stays is None for one in found] == [True, False]
    assert found[0].shown() | {"time_ms": 0} == {
        "topic": "samples",
        "partition": 3,
        "offset": 7,
        "bytes": len(good),
        "reason": "why",
        "time_ms": 0,
        "stages": ("window",),
        "stays": None,
    }
    assert done == {"samples": 1}
    records = await read_topic(own_settings, Topic.SAMPLES)
    assert [(one.partition, one.value) for one in records] == [(3, good)]

"""What is said of the records at which a partition stands, before they are passed over."""

import pytest

from ops.partitions import PartitionsError
from ops.skip import look
from schemas.topics import Topic
from tests.ops.test_dead_letters import FIRST, samples
from tests.topology.running import bootstrap, producing
from topology.settings import Settings

pytestmark = pytest.mark.broker


async def test_only_what_stands_in_the_way_is_passed_over(own_settings: Settings) -> None:
    await bootstrap(own_settings)
    good, newer = samples(FIRST), bytearray(samples(FIRST))
    newer[3] = 77
    log = [good, b"noise", good, b"no", bytes(newer), good]
    async with producing(own_settings) as producer:
        for payload in log:
            await producer.send_and_wait(own_settings.topic(Topic.SAMPLES), payload, partition=1)

    whole = await look(own_settings, "samples", 1, None)
    before = await look(own_settings, "samples", 1, 4)
    first = await look(own_settings, "samples", 1, 1)

    assert (whole.from_offset, whole.until_offset, whole.n_records) == (0, 6, 6)
    assert (whole.unreadable, whole.newer, whole.first, whole.last) == (2, 1, 1, 4)
    assert sum(whole.reasons.values()) == 3
    assert "1 of these records are of a newer format" in (whole.why_not(even_newer=False) or "")
    assert whole.why_not(even_newer=True) is None
    assert (before.newer, before.why_not(even_newer=False)) == (0, None)
    assert "can be read: there is nothing to pass over" in (first.why_not(even_newer=True) or "")
    for topic, partition, to, why in [
        ("config", 0, 1, "topic 'config': one of samples, series"),
        ("samples", 99, 1, "partition 99: topic samples has "),
        ("samples", 1, 7, "has records from 0 to before 6, of which those before 0 are done"),
    ]:
        with pytest.raises(PartitionsError, match=why):
            await look(own_settings, topic, partition, to)

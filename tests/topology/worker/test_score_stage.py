"""The score stage over a real broker: what it publishes, and what it survives."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from pipeline.anomaly import scorer as anomaly_scorer
from pipeline.scoring import partition as partition_scores
from pipeline.scoring.partition import PartitionScores, ScoresConfig
from schemas.config import ScoreRulesRecord, encode_entry
from schemas.dead_letters import decode_dead_letter
from schemas.rollups import CloseBlock, RollupBlock, encode_rollups
from schemas.scores import COLUMNS, ScoreBlock, decode_scores
from schemas.series import SeriesBlock, encode_series
from schemas.topics import Topic
from tests.pipeline.scoring.windows import announced, rollups
from tests.topology.running import bootstrap, make_context, producing, read_topic, running
from tests.waiting import wait_until_async
from topology.anomaly_rules import TenantRules
from topology.runtime import Context
from topology.settings import Settings, load_settings
from topology.worker.main import worker
from topology.worker.positions import Start
from topology.worker.score_stage import ScoreWork
from topology.worker.series_feed import Announce

pytestmark = pytest.mark.broker

NAMES = {n: f"metric_{n}" if n % 2 else f"metric_{n}_total" for n in range(1, 21)}
MINUTES = 210

# (series, window) -> the bytes of its columns
Rows = dict[tuple[int, int], bytes]


@pytest.fixture
def worker_settings(own_settings: Settings) -> Settings:
    few = {"partitions": 2, "checkpoint_s": 1, "scores_stored_from": 0.0}
    return own_settings.model_copy(update=few)


def load() -> list[RollupBlock]:
    """Return a block a minute of 20 series, of which some jump at the end."""
    rng = np.random.default_rng(7)
    ids = list(NAMES)
    blocks, totals = [], dict[int, float]()
    for minute in range(MINUTES):
        values = 50 + rng.standard_normal(len(ids))
        values[:3] *= 2 if minute > MINUTES - 5 else 1
        columns = (ids, [minute] * len(ids), values)
        blocks.append(rollups(*columns, increases=(60 * values).tolist(), totals=totals))
    return blocks


def rows_of(blocks: Sequence[ScoreBlock]) -> Rows:
    """Return the rows of blocks; repeats must agree."""
    rows: Rows = {}
    for block in blocks:
        columns = [getattr(block, name) for name in COLUMNS]
        for at in range(len(block)):
            key = (int(block.series_ids[at]), int(block.window_starts_ms[at]))
            row = b"".join(column[at].tobytes() for column in columns)
            assert rows.setdefault(key, row) == row, "a repeat differs"
    return rows


def expected(blocks: Sequence[RollupBlock]) -> Rows:
    scores = PartitionScores(ScoresConfig())
    scores.announce(announced(NAMES))
    return rows_of(scores.feed(blocks))


async def publish(settings: Settings, topic: Topic, records: Sequence[bytes]) -> None:
    async with producing(settings) as producer:
        for record in records:
            await producer.send_and_wait(settings.topic(topic), record, partition=1)


async def publish_windows(settings: Settings, blocks: Sequence[RollupBlock]) -> None:
    await publish(settings, Topic.ROLLUPS, [encode_rollups([block]) for block in blocks])


async def announce(settings: Settings, block: SeriesBlock) -> None:
    await publish(settings, Topic.SERIES, [encode_series([block])])


async def scored(settings: Settings) -> tuple[Rows, int]:
    """Return the rows on topic scores, and how many stand there with repeats."""
    records = await read_topic(settings, Topic.SCORES)
    assert {record.partition for record in records} <= {1}
    blocks = [block for record in records for block in decode_scores(record.value)]
    return rows_of(blocks), sum(map(len, blocks))


async def wait_for_rows(settings: Settings, n_rows: int) -> None:
    async def are_there() -> bool:
        return len((await scored(settings))[0]) >= n_rows

    await wait_until_async(are_there, 30, f"{n_rows} scores")


def value(context: Context, name: str, **labels: str) -> float:
    return context.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_scores_are_those_of_the_engine(worker_settings: Settings) -> None:
    """Whatever else stands in the topic, and a record that cannot be read becomes a dead letter."""
    await bootstrap(worker_settings)
    blocks = load()
    await announce(worker_settings, announced(NAMES))
    await publish_windows(worker_settings, blocks[:100])
    close = CloseBlock("t", 1, 30, 300, 0, 1, 0, 300_000)
    await publish(worker_settings, Topic.ROLLUPS, [b"noise", encode_rollups([close])])
    await publish_windows(worker_settings, blocks[100:])

    truth = expected(blocks)
    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, len(truth))

        async def are_counted() -> bool:
            n_scored = value(context, "observai_windows_scored_total")
            # Of ten counters the first window has no rate.
            return n_scored == 20 * (MINUTES - 150) - 10

        await wait_until_async(are_counted, 10, "all windows but those of learning are counted")
        assert value(context, "observai_score_series", partition="1", state="learned") == 20

    assert (await scored(worker_settings))[0] == truth
    letters = await read_topic(worker_settings, Topic.DEAD_LETTERS)
    assert [decode_dead_letter(one.value).stage for one in letters] == ["score"]


async def test_a_restart_changes_no_score(worker_settings: Settings) -> None:
    """A worker that leaves without a last checkpoint repeats scores, byte by byte."""
    await bootstrap(worker_settings)
    blocks = load()
    await announce(worker_settings, announced(NAMES))
    for first, is_killed in ((0, True), (70, False), (140, True)):
        await publish_windows(worker_settings, blocks[first : first + 70])
        n_rows = len(expected(blocks[: first + 70]))
        context = make_context("worker", worker_settings)
        async with running(worker, context):
            await wait_for_rows(worker_settings, n_rows)
            if is_killed:
                context.failed = "as if killed: no last checkpoint"

    rows, n_with_repeats = await scored(worker_settings)
    assert rows == expected(blocks)
    assert n_with_repeats > len(rows)


async def test_a_window_waits_for_its_series(worker_settings: Settings) -> None:
    """Its announcement comes later, as when Kafka is slow; then the window is judged."""
    await bootstrap(worker_settings)
    now_ms = time.time_ns() // 1_000_000
    context = make_context("worker", worker_settings)
    async with running(worker, context):
        early = rollups([1, 2], [0, 0], [1.0, 2.0], receive_ms=now_ms)
        await publish_windows(worker_settings, [early])

        async def is_read() -> bool:
            return value(context, "observai_held_records", stage="score", partition="1") > 0

        await wait_until_async(is_read, 10, "the record is waiting")
        assert await scored(worker_settings) == ({}, 0)
        await announce(worker_settings, announced({1: "a", 2: "b"}, receive_ms=now_ms))
        await wait_for_rows(worker_settings, 2)


async def test_a_series_that_nobody_announces_holds_up_no_other(worker_settings: Settings) -> None:
    await bootstrap(worker_settings)
    await announce(worker_settings, announced({1: "a"}))
    block = rollups([1, 2], [0, 0], [1.0, 2.0])
    await publish_windows(worker_settings, [block])

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, 1)

        async def is_counted() -> bool:
            return value(context, "observai_windows_unscored_total") == 1

        await wait_until_async(is_counted, 10, "the other one is counted")

    assert [series for series, _ in (await scored(worker_settings))[0]] == [1]


async def test_rules_of_a_tenant_are_followed(worker_settings: Settings) -> None:
    """They hold from a series' next announcement on; what of a key is told is not the worker's."""
    await bootstrap(worker_settings)
    await announce(worker_settings, announced({1: "a", 2: "b"}))
    await publish_windows(worker_settings, [rollups([1, 2], [0, 0], [1.0, 2.0])])

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, 2)
        record = encode_entry(ScoreRulesRecord("t", [{"metric": "a", "exclude": True}]))
        async with producing(worker_settings) as producer:
            topic = worker_settings.topic(Topic.CONFIG)
            await producer.send_and_wait(topic, record[1], key=record[0], partition=0)
        minute = 1

        async def is_left_out() -> bool:
            nonlocal minute
            await announce(worker_settings, announced({1: "a", 2: "b"}))
            await publish_windows(worker_settings, [rollups([2], [minute], [2.0])])
            minute += 1
            return value(context, "observai_score_series", partition="1", state="left_out") == 1

        await wait_until_async(is_left_out, 20, "series a is left out")

    # With other rules than its checkpoint's, a worker goes on by those that series had.
    n_rows = len((await scored(worker_settings))[0])
    async with producing(worker_settings) as producer:
        await producer.send_and_wait(topic, None, key=record[0], partition=0)
    await publish_windows(worker_settings, [rollups([1, 2], [minute] * 2, [1.0, 2.0])])
    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, n_rows + 1)


class MemoryFeed:
    """Holds what takes a partition's announcements."""

    def __init__(self) -> None:
        self.announce: dict[int, Announce] = {}

    async def follow(self, announce: Mapping[int, Announce], offsets: Mapping[int, int]) -> None:
        assert offsets == dict.fromkeys(announce, 0)
        self.announce = dict(announce)


async def test_an_announcement_is_taken_by_the_newest_rules() -> None:
    """Though no window has come since they changed."""
    context, feed, tenants = make_context("worker", load_settings()), MemoryFeed(), TenantRules()
    work = ScoreWork(context, feed, tenants)  # type: ignore[arg-type]
    engine = work.begin(1, None, Start(0), 2)
    await work.assigned({1: engine}, {})

    tenants.apply("t", ScoreRulesRecord("t", [{"metric": "a", "exclude": True}]))
    work.rules_changed()
    feed.announce[1](announced({1: "a", 2: "b"}))

    assert engine.n_series()["left_out"] == 1


async def test_models_of_another_build_are_learned_anew(
    worker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bootstrap(worker_settings)
    blocks = load()
    await announce(worker_settings, announced(NAMES))
    await publish_windows(worker_settings, blocks[:160])
    async with running(worker, make_context("worker", worker_settings)):
        await wait_for_rows(worker_settings, len(expected(blocks[:160])))
    monkeypatch.setattr(anomaly_scorer, "VERSION", anomaly_scorer.VERSION + 1)
    await publish_windows(worker_settings, blocks[160:170])

    context = make_context("worker", worker_settings)
    async with running(worker, context):
        await wait_for_rows(worker_settings, len(expected(blocks[:170])))

        async def is_learning() -> bool:
            return value(context, "observai_score_series", partition="1", state="learning") == 20

        await wait_until_async(is_learning, 10, "20 series learning")
        assert context.health.reasons() == {}

    # Without the series themselves, the announcements are read again, from the first on.
    monkeypatch.setattr(partition_scores, "_LAYOUT", partition_scores._LAYOUT + 1)
    await publish_windows(worker_settings, blocks[170:175])
    async with running(worker, make_context("worker", worker_settings)):
        # Of the ten counters the first window has no rate again.
        await wait_for_rows(worker_settings, len(expected(blocks[:175])) - 10)

"""Scores in the store: what an analyst sees, and that a repeat changes nothing."""

from typing import Any

import numpy as np
import pytest

from pipeline.anomaly.reasons import Reason, words
from schemas.errors import InvalidRecord
from schemas.scores import ScoreBlock, check_scores, encode_scores
from schemas.topics import Topic
from tests.topology.store.archiving import Bench
from tests.topology.store.rows import NOON_MS, RETENTION_DAYS, read, store_series
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.writer import Writer

# One of each reason: series, value, score, alarm, learning_s, reason.
ROWS = [
    (1, 320.0, 1.7, 1.7, 0.0, Reason.LEVEL),
    (2, 100.0, 0.7, 0.0, 0.0, Reason.NONE),
    (3, 100.0, 0.0, 0.0, 5400.0, Reason.LEARNING),
    (4, 100.0, 0.0, 0.0, 86_390.0, Reason.LEARNING),
]


def score_block(
    tenant: str, rows: list[tuple[Any, ...]] = ROWS, at_ms: int = NOON_MS
) -> ScoreBlock:
    ids, values, scores, alarms, learning_s, reasons = zip(*rows, strict=True)
    n = len(rows)
    columns: tuple[Any, ...] = (
        np.full(n, at_ms),
        np.array(ids, dtype=np.uint64),
        np.array(values),
        *(np.full(n, 100.0), np.full(n, 90.0), np.full(n, 110.0)),
        *(np.array(one, dtype=np.float32) for one in (scores, alarms, learning_s)),
        np.array(reasons, dtype=np.uint8),
    )
    return ScoreBlock(tenant, at_ms, RETENTION_DAYS, 60, *columns)


def test_scores_are_stored_with_their_reasons(engine: Engine, tenant: str) -> None:
    store_series(engine, tenant, {1: {"__name__": "load", "host": "a"}})
    Writer(engine, Metrics(), now_ms).insert(Batch(0.0, scores=[score_block(tenant)]))

    (first,) = read(engine, tenant, "SELECT * FROM scores WHERE metric = 'load'")
    columns = "series_id, round(score, 2), round(alarm, 2), reason"
    rows = read(engine, tenant, f"SELECT {columns} FROM scores ORDER BY series_id")

    level = words(Reason.LEVEL, 320.0, 100.0, NOON_MS / 1000)
    assert first[0] == 60
    assert first[2:6] == (1, "load", {"host": "a"}, 320.0)
    assert first[8:] == (100.0, 90.0, 110.0, level)
    assert level.startswith("3.2x the usual level for ")
    assert [(series, text) for series, _, _, text in rows] == [
        (1, level),
        (2, ""),
        (3, "learning, 90 min left"),
        (4, "learning, 24 h left"),
    ]
    assert rows[0][1:3] == (pytest.approx(1.7), pytest.approx(1.7))


async def test_scores_are_archived_and_a_repeat_changes_nothing(bench: Bench) -> None:
    later = score_block(bench.tenant, ROWS[:1], NOON_MS + 60_000)
    payload = encode_scores([score_block(bench.tenant), later])
    await bench.publish(Topic.SCORES, payload)
    await bench.publish(Topic.SCORES, b"noise", partition=1)
    await bench.publish(Topic.SCORES, payload, partition=1)

    async with bench.archiving() as context:
        await bench.wait_rows(5, "scores")

    assert bench.count("scores") == 5
    assert await bench.committed(Topic.SCORES) == 1
    assert await bench.committed(Topic.SCORES, partition=1) == 2
    value = context.metrics.registry.get_sample_value
    name = "observai_records_dead_lettered_total"
    assert value(name, {"topic": "scores", "reason": "undecodable"}) == 1


def test_a_tenant_sees_its_own_only(engine: Engine, tenant: str) -> None:
    writer = Writer(engine, Metrics(), now_ms)
    writer.insert(Batch(0.0, scores=[score_block(tenant), score_block(f"{tenant}-other")]))

    assert read(engine, tenant, "SELECT count() FROM scores") == [(len(ROWS),)]


@pytest.mark.parametrize("at_ms", [-1, 500, 2**32 * 1000])
def test_what_the_store_cannot_hold_is_refused(at_ms: int) -> None:
    with pytest.raises(InvalidRecord):
        check_scores(score_block("t", at_ms=at_ms))
    with pytest.raises(InvalidRecord):
        check_scores(score_block(""))

"""What clients send: every kind of wrong order, and never a key whose last value is unknown."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ops.faults.client import WrongAnswer, check_answer
from ops.faults.ledger import Ledger
from ops.faults.plan import Kind, Plan, draw_faults, in_volleys
from ops.faults.traffic import HOUR_MS, JUMPED_AS_JSON, Jump, Pattern, Request, Source, keys_of
from schemas.samples import STALE_MARKER_BITS

NOW_MS = 1_795_000_000_000
PATTERN = Pattern(40, 10_000, NOW_MS - 24 * HOUR_MS, 0.0, odd=0.4)


def requests_of(pattern: Pattern, n: int, n_attempts: int = 1) -> list[Request]:
    source = Source(pattern, np.random.default_rng(3))
    made = []
    for _ in range(n):
        request = source.next(NOW_MS)
        assert request is not None
        source.acknowledged(request, n_attempts)
        made.append(request)
    return made


def test_all_ways_to_send_come_up() -> None:
    kinds = Counter(request.kind for request in requests_of(PATTERN, 300))

    assert kinds.keys() == {"step", "late", "disordered", "twins", "repeated", "corrected"}
    assert kinds["step"] > 100


def test_steps_have_counters_with_resets_and_stale_markers() -> None:
    requests = requests_of(replace(PATTERN, odd=0.0), 1500)
    values = np.concatenate([one.values for one in requests])
    counter = np.concatenate([one.values[one.series == 0] for one in requests])

    assert (values.view(np.uint64) == STALE_MARKER_BITS).any()
    assert (np.diff(counter[~np.isnan(counter)]) < 0).any()
    assert (np.diff(counter[~np.isnan(counter)]) > 0).any()
    assert len({len(one.series) for one in requests}) > 1, "series end and come back"


def test_the_same_seed_sends_the_same() -> None:
    first, second = requests_of(PATTERN, 100), requests_of(PATTERN, 100)

    for one, other in zip(first, second, strict=True):
        assert one.kind == other.kind
        assert one.values.tobytes() == other.values.tobytes()


def test_a_key_whose_first_attempt_may_still_arrive_gets_no_other_value() -> None:
    """With every request sent twice, no key comes in two requests."""
    requests = requests_of(PATTERN, 400, n_attempts=2)
    keys = [np.unique(keys_of(one.series, one.times_ms)) for one in requests]

    assert len(np.unique(np.concatenate(keys))) == sum(map(len, keys))


def test_a_live_source_waits_for_the_time_of_day_less_its_delay() -> None:
    pattern = Pattern(1, 500, NOW_MS, 0.0, is_live=True, delay_ms=75_000)
    source = Source(pattern, np.random.default_rng(0))

    assert source.next(NOW_MS + 74_999) is None
    assert source.next(NOW_MS + 75_000) is not None


@pytest.mark.parametrize(("ahead_ms", "is_refused"), [(HOUR_MS, True), (-HOUR_MS, False)])
def test_of_a_clock_that_is_ahead_the_samples_are_to_be_refused(
    ahead_ms: int, *, is_refused: bool
) -> None:
    """Two thirds of them: each third series keeps time."""
    source = Source(Pattern(9, 500, NOW_MS, 0.0, is_live=True), np.random.default_rng(0))
    source.jump(Jump(ahead_ms, 2))

    requests = [source.next(NOW_MS + HOUR_MS) for _ in range(3)]

    assert [one.kind for one in requests if one][:2] == [JUMPED_AS_JSON, "jumped"]
    assert [int(one.is_refused.sum()) for one in requests if one] == [6 * is_refused] * 2 + [0]
    assert not source.jumps_left


def test_the_edge_must_refuse_exactly_what_is_ahead() -> None:
    columns = (np.arange(3, dtype=np.int32), np.zeros(3, np.int64), np.zeros(3))
    ahead = Request("jumped", *columns, np.array([True, False, True]))
    as_json = ahead._replace(kind=JUMPED_AS_JSON)
    errors = '[{"index":%d,"reason":"future"},{"index":2,"reason":"future"}]'
    refused = f'{{"accepted":1,"rejected":2,"errors":{errors}}}'

    check_answer(ahead, 400, "2 of 3 samples refused (future: 2)\n...")
    check_answer(as_json, 200, refused % 0)
    check_answer(ahead._replace(is_refused=np.zeros(3, np.bool_)), 204, "")

    for request, status, text in (
        (ahead, 204, ""),
        (ahead, 400, "3 of 3 samples refused (future: 3)"),
        (ahead, 400, "2 of 3 samples refused (too_old: 2)"),
        (as_json, 200, refused % 1),
        (ahead._replace(is_refused=np.zeros(3, np.bool_)), 400, "1 of 3 samples refused"),
    ):
        with pytest.raises(WrongAnswer, match="to be refused"):
            check_answer(request, status, text)


def test_the_same_seed_draws_the_same_faults() -> None:
    plan = Plan(n_faults=50, seed=4)

    assert list(draw_faults(plan)) == list(draw_faults(plan))
    assert list(draw_faults(plan)) != list(draw_faults(replace(plan, seed=5)))


def test_a_deck_of_faults_is_of_every_kind_but_those_left_out() -> None:
    plan = Plan(n_faults=19, without=frozenset({Kind.FULL_DISK, Kind.GROW}))
    faults = list(draw_faults(plan))

    assert {fault.kind for fault in faults} == set(Kind) - plan.without
    assert [fault.number for fault in faults] == list(range(1, 20))
    assert max(fault.lasts_s for fault in faults if fault.kind is Kind.STOP) == 20.0


def test_faults_come_in_volleys_but_for_wrong_clocks_and_after_a_killed_supervisor() -> None:
    faults = list(draw_faults(Plan(n_faults=60)))

    volleys = list(in_volleys(faults, 3))

    assert [fault for volley in volleys for fault in volley] == faults
    assert {len(volley) for volley in volleys} == {1, 2, 3}
    for volley in volleys:
        assert len(volley) == 1 or Kind.CLOCK_JUMP not in {fault.kind for fault in volley}
        assert "supervisor" not in {fault.role for fault in volley[:-1]}
    assert list(in_volleys(faults, 1)) == [[fault] for fault in faults]


def test_a_ledger_keeps_what_was_sent_in_order() -> None:
    """Steps, corrections and repeats: the ledger's last value is the one sent last."""
    ledger = Ledger()
    last: dict[tuple[int, int], float] = {}
    for request in requests_of(PATTERN, 300):
        ledger.add(request, 1, 0)
        columns = (request.series.tolist(), request.times_ms.tolist(), request.values.tolist())
        last |= {(series, time_ms): value for series, time_ms, value in zip(*columns, strict=True)}

    samples = ledger.samples()

    assert len(samples.series) == len(last)
    kept = zip(samples.series.tolist(), samples.times_ms.tolist(), strict=True)
    assert np.array([last[key] for key in kept]).tobytes() == samples.values.tobytes()

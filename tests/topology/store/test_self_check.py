"""The store's check of itself: who gets a turn, what counts, and what is only late."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from schemas.topics import series_range
from tests.topology.rings import new_ring
from tests.topology.running import make_context
from tests.topology.store.rows import NOON_MS, sample_block, store_samples, store_series
from tests.topology.store.test_verify import Row, right_rows, store_rows
from topology.runtime import Context
from topology.settings import load_settings
from topology.store import self_check
from topology.store.client import Engine
from topology.store.queries import Queries
from topology.store.self_check import MARGIN_MS, SelfCheck
from topology.store.verify import Verifier
from topology.tenants import Tenant

MINUTE_MS = 60_000
N_PARTITIONS = 4
NOW_MS = NOON_MS + 30 * MINUTE_MS


@dataclass
class KnownEvidence:
    """Evidence as a test says it."""

    numbers: list[int] = field(default_factory=lambda: list(range(N_PARTITIONS)))
    until_s: int = NOW_MS // 1000
    settled_ms: int = 0

    def owned(self) -> list[int]:
        return self.numbers

    def n_partitions(self) -> int:
        return N_PARTITIONS

    def closed_s(self, tenant: str, partition: int) -> int:
        assert tenant
        assert partition in self.numbers
        return self.until_s

    def is_settled(self, partition: int, since_ms: int) -> bool:
        assert partition in self.numbers
        return self.settled_ms >= since_ms


class Checked:
    """A self-check of one tenant, and its counters."""

    def __init__(self, context: Context, check: SelfCheck, evidence: KnownEvidence) -> None:
        self.context = context
        self.evidence = evidence
        self._check = check

    async def rounds(self, n: int = 1, time_ms: int = NOW_MS) -> None:
        for _ in range(n):
            await self._check.round(time_ms)

    def count(self, name: str, width_s: int = 60) -> float:
        labels = {"width": f"{width_s}s"}
        found = self.context.metrics.registry.get_sample_value(f"observai_{name}_total", labels)
        assert found is not None
        return found


@pytest.fixture
def checked(engine: Engine, tenant: str) -> Iterator[Checked]:
    ring = new_ring(Tenant(tenant, "pro", 3650))
    queries = Queries(load_settings())
    queries.open(engine)
    context = make_context("store", load_settings())
    evidence = KnownEvidence()
    yield Checked(context, SelfCheck(context, ring, Verifier(queries), evidence), evidence)
    queries.close()


def series_of(partition: int, n: int) -> list[int]:
    first, _ = series_range(partition, N_PARTITIONS)
    return [first + 1 + i for i in range(n)]


def store(engine: Engine, tenant: str, ids: list[int]) -> list[Row]:
    """Store four minutes of each series, and return the rows that belong to them."""
    samples = [(key, NOON_MS + i * 20_000, float(i)) for key in ids for i in range(12)]
    names = {key: {"__name__": "m", "i": str(key)} for key in ids}
    store_series(engine, tenant, names, seen_ms=NOW_MS)
    store_samples(engine, sample_block(tenant, samples))
    return right_rows(samples, [60, 300])


async def test_every_series_gets_its_turn(
    engine: Engine, checked: Checked, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partition after partition, a few series a round; then from the beginning again."""
    monkeypatch.setattr(self_check, "SERIES_A_ROUND", 20)
    ids = [key for partition in range(N_PARTITIONS) for key in series_of(partition, 25)]
    store_rows(engine, tenant, store(engine, tenant, ids))

    await checked.rounds(8)
    once = checked.count("verify_windows")
    await checked.rounds(8)

    assert once == 100 * 4
    assert checked.count("verify_windows") == 2 * once
    assert checked.count("verify_windows", 300) == 2 * 100
    assert checked.count("verify_mismatch") == 0


async def test_only_own_partitions_are_checked(
    engine: Engine, checked: Checked, tenant: str
) -> None:
    """Another store has the others, and knows when they are closed."""
    ids = [key for partition in range(N_PARTITIONS) for key in series_of(partition, 5)]
    store_rows(engine, tenant, store(engine, tenant, ids))
    checked.evidence.numbers = [1, 2]

    await checked.rounds(2)

    assert checked.count("verify_windows") == 10 * 4


async def test_a_mismatch_counts_once_it_is_seen_again(
    engine: Engine, checked: Checked, tenant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not before all that had been received then is done; and not again at each turn."""
    rows = store(engine, tenant, series_of(2, 3))
    rows[5]["last"] += 1
    store_rows(engine, tenant, rows)

    await checked.rounds(8)
    unsettled = checked.count("verify_mismatch")
    checked.evidence.settled_ms = NOW_MS + MARGIN_MS - 1
    await checked.rounds()
    almost = checked.count("verify_mismatch")
    checked.evidence.settled_ms = NOW_MS + MARGIN_MS
    await checked.rounds(9)

    assert (unsettled, almost, checked.count("verify_mismatch")) == (0, 0, 1)
    line = capsys.readouterr().out
    assert line.count("does not equal its samples") == 1
    assert f"series_id={rows[5]['series_id']}" in line
    assert "'last': ('6', '5')" in line


async def test_what_is_mended_by_the_second_look_does_not_count(
    engine: Engine, checked: Checked, tenant: str
) -> None:
    """A late sample was stored before its window was computed again."""
    rows = store(engine, tenant, series_of(0, 1))
    missing = rows.pop()
    store_rows(engine, tenant, rows)
    await checked.rounds()
    checked.evidence.settled_ms = NOW_MS + MARGIN_MS
    store_rows(engine, tenant, [missing])

    await checked.rounds(9)

    assert checked.count("verify_mismatch", 300) == 0
    assert checked.count("verify_windows", 300) == 3


async def test_a_missing_window_counts_when_it_is_closed(
    engine: Engine, checked: Checked, tenant: str
) -> None:
    """One before the time up to which the window stage has closed, and one after it."""
    rows = store(engine, tenant, series_of(0, 1))
    store_rows(engine, tenant, [row for row in rows if row["width_s"] == 60][:2])
    checked.evidence.until_s = NOON_MS // 1000 + 180
    checked.evidence.settled_ms = NOW_MS + MARGIN_MS

    await checked.rounds(2)

    assert checked.count("verify_mismatch") == 1


async def test_nothing_is_judged_before_anything_is_known(
    engine: Engine, checked: Checked, tenant: str
) -> None:
    """After a start no window is closed for sure."""
    store(engine, tenant, series_of(0, 1))
    checked.evidence.until_s = 0

    await checked.rounds(4)

    assert checked.count("verify_windows") == 0


async def test_a_failed_query_is_a_line_in_the_log_and_no_more(
    engine: Engine, tenant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store is closed, or takes too long."""
    ring = new_ring(Tenant(tenant, "pro", 30))
    context = make_context("store", load_settings())
    check = SelfCheck(context, ring, Verifier(Queries(load_settings())), KnownEvidence())

    await check.round(NOW_MS)

    assert "the store is not open" in capsys.readouterr().out


async def test_what_is_suspected_is_bounded(
    engine: Engine, checked: Checked, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is wrong."""
    monkeypatch.setattr(self_check, "MAX_SUSPECTS", 3)
    store(engine, tenant, series_of(0, 5))

    await checked.rounds()
    checked.evidence.settled_ms = NOW_MS + MARGIN_MS
    await checked.rounds()

    assert checked.count("verify_mismatch") + checked.count("verify_mismatch", 300) == 3

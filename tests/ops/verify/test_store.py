"""Questions to the store role, on a service in memory: pages, days, halves of too much."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from ops.api import TooMuch
from ops.query import Service
from ops.verify.balance import Ranks, merge, samples_of
from ops.verify.store import VerifiedStore
from schemas.samples import SampleBlock
from topology.store.verify import Difference, Verdict, Width
from topology.store.verify_api import PATH

DAY_S = 86_400
Answer = Callable[[dict[str, Any]], Any]


class MemoryService(Service):
    """Answers by a function, and keeps the questions."""

    asked: list[tuple[str, dict[str, Any]]]
    answer: Answer

    def post(self, target: str, body: bytes) -> bytes:
        question = msgspec.json.decode(body)
        self.asked.append((target.removeprefix(PATH), question))
        answer = self.answer(question)
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)


def store_of(answer: Answer, tenant: str | None = None) -> tuple[VerifiedStore, MemoryService]:
    service = MemoryService("http://store", "key")
    object.__setattr__(service, "asked", [])
    object.__setattr__(service, "answer", answer)
    return VerifiedStore(service, tenant), service


@pytest.mark.parametrize(
    ("wanted", "n_found", "n_asked"), [(0, 2500, 3), (1500, 1500, 2), (7, 7, 1)]
)
def test_series_come_page_by_page(wanted: int, n_found: int, n_asked: int) -> None:
    """In the order of their ranks, no more than wanted."""
    ranks = Ranks(3, 11)
    ids = sorted(range(1, 2501), key=ranks.of_one)

    def page(question: dict[str, Any]) -> dict[str, Any]:
        left = [one for one in ids if ranks.of_one(one) > question["after"]]
        return {"tenant": "t", "kept_from_s": 5, "series_ids": left[: question["limit"]]}

    store, service = store_of(page)

    chosen = store.choose(100, ranks, wanted)

    assert chosen.series_ids == ids[:n_found]
    assert (chosen.tenant, chosen.kept_from_s) == ("t", 5)
    assert len(service.asked) == n_asked


def test_a_tenant_is_named_where_it_is_given() -> None:
    answer = {"tenant": "t", "kept_from_s": 5, "series_ids": []}

    for tenant in (None, "acme"):
        store, service = store_of(lambda _: answer, tenant)
        store.choose(0, Ranks(1, 0), 1)
        assert service.asked[0][1].get("tenant") == tenant


def test_a_range_is_compared_day_by_day_and_in_groups_of_series() -> None:
    """Three days, of which two are half, of 100 series: 83 at once and 17."""
    store, service = store_of(lambda _: Verdict([], []))

    list(store.compare(range(100), 10 * DAY_S + 43_200, 12 * DAY_S + 43_200))

    ranges = [(one["from_s"] / DAY_S, one["to_s"] / DAY_S) for _, one in service.asked]
    assert ranges == [(10.5, 11), (11, 12), (12, 12.5)] * 2
    assert [len(one["series_ids"]) for _, one in service.asked] == [83] * 3 + [17] * 3


def test_what_is_too_much_is_halved() -> None:
    """Down to what goes; a single series that does not go is an error."""

    def compare(question: dict[str, Any]) -> Verdict:
        n = len(question["series_ids"])
        if n > 2:
            raise TooMuch("too much")
        return Verdict([Width(60, n, n, 0)], [])

    store, _ = store_of(compare)

    verdicts = list(store.compare(range(7), 0, 600))

    assert sum(one.widths[0].n_windows for one in verdicts) == 7

    def never(question: dict[str, Any]) -> Verdict:
        raise TooMuch(f"{len(question['series_ids'])} is too much")

    with pytest.raises(TooMuch, match="1 is too much"):
        list(store_of(never)[0].compare(range(7), 0, 600))


def test_every_difference_is_named_though_an_answer_names_few() -> None:
    """Of a series in two, and of hours; what has no whole hour in it stays as it is."""
    wrong = [(series, start_s) for series in range(9) for start_s in range(0, 14_400, 900)]

    def compare(question: dict[str, Any]) -> Verdict:
        found = [
            Difference("different", 60, start_s, series, [])
            for series, start_s in wrong
            if series in question["series_ids"] and question["from_s"] <= start_s < question["to_s"]
        ]
        return Verdict([Width(60, len(found), 0, len(found))], found[:4])

    def named(most: int) -> tuple[set[tuple[int, int]], int]:
        verdicts = list(store_of(compare)[0].compare(range(9), 0, 14_400, most))
        ones = {(one.series_id, one.start_s) for verdict in verdicts for one in verdict.differences}
        return ones, sum(one.widths[0].n_wrong for one in verdicts)

    assert named(1_000) == (set(wrong), len(wrong))
    some, n_wrong = named(20)
    assert 20 <= len(some) < 30
    assert n_wrong == len(wrong)


def test_a_second_look_keeps_what_differs_still() -> None:
    """Asked for by day; windows that differ only now are for the next run."""

    def difference(series_id: int, start_s: int) -> Difference:
        return Difference("missing", 60, start_s, series_id, [])

    suspects = [difference(1, 60), difference(2, 120), difference(1, DAY_S)]
    now = [difference(2, 120), difference(1, 90)]
    store, service = store_of(
        lambda asked: Verdict([], [one for one in now if asked["from_s"] <= one.start_s])
    )

    left = store.again(suspects)

    assert [(one.series_id, one.start_s) for one in left] == [(2, 120)]
    assert [(one["series_ids"], one["from_s"], one["to_s"]) for _, one in service.asked] == [
        ([1, 2], 60, 180),
        ([1], DAY_S, DAY_S + 60),
    ]


def test_stored_samples_are_read_to_the_last_page() -> None:
    """Two rows a page; series that are done are not asked for again."""
    rows = [(1, 10, 7), (1, 20, 8), (2, 10, 9)]

    def page(question: dict[str, Any]) -> bytes:
        after = (question.get("after_series", 0), question.get("after_ms", -1))
        found = [row for row in rows if row[:2] > after and row[0] in question["series_ids"]][:2]
        columns = list(zip(*found, strict=True)) or [(), (), ()]
        types = (pa.uint64(), pa.int64(), pa.uint64())
        names = ("series_id", "time_ms", "bits")
        table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    store, service = store_of(page)
    bits = np.array([7, 0, 9, 1], np.uint64)
    block = SampleBlock(
        *("t", 0, 30),
        np.array([1, 1, 2, 3], np.uint64),
        np.array([10, 20, 10, 10]),
        bits.view(np.float64),
    )

    found = store.find(merge([samples_of(block)]))

    assert found.is_missing.tolist() == [False, False, False, True]
    assert found.is_wrong.tolist() == [False, True, False, False]
    assert [one["series_ids"] for _, one in service.asked] == [[1, 2, 3], [1, 2, 3], [2, 3]]
    assert (service.asked[0][1]["from_ms"], service.asked[0][1]["to_ms"]) == (10, 21)

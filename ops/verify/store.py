"""The store role's part: series, comparisons and stored samples, asked for in bounded pieces."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from ops.api import TooMuch
from ops.query import Service
from ops.verify.balance import Found, Ranks, Samples, find
from topology.store.verify import Difference, Verdict
from topology.store.verify_api import PATH, Chosen

SERIES_A_PAGE = 1_000
SERIES_AT_ONCE = 200
# Of one comparison, series times seconds: at scrapes every 10 s some 700,000 samples.
_SERIES_SECONDS = 7_200_000
_DAY_S = 86_400

_HOUR_S = 3_600

_Kind = TypeVar("_Kind")
# Series, and from and to in seconds.
_Part = tuple[Sequence[int], int, int]


class VerifiedStore:
    """Asks about one tenant; None: the key's own."""

    def __init__(self, service: Service, tenant: str | None) -> None:
        self._service = service
        self._tenant = tenant

    def choose(self, from_s: int, ranks: Ranks, n_series: int) -> Chosen:
        """Return the first so many series by rank of those alive after from_s; 0 for all."""
        wanted = n_series or sys.maxsize
        ids: list[int] = []
        after = 0
        while True:
            limit = min(SERIES_A_PAGE, wanted - len(ids))
            place = {"factor": ranks.factor, "seed": ranks.seed, "after": after}
            page = self._ask("/series", {"from_s": from_s, "limit": limit, **place}, Chosen)
            ids += page.series_ids
            if len(page.series_ids) < limit or len(ids) == wanted:
                return msgspec.structs.replace(page, series_ids=ids)
            after = ranks.of_one(ids[-1])

    def compare(
        self, series_ids: Sequence[int], from_s: int, to_s: int, most: int = sys.maxsize
    ) -> Iterator[Verdict]:
        """Yield what the comparison of these windows gives, day by day and in groups of series.

        It names every window that differs, up to `most`: of one answer the store keeps the first.
        """
        longest_s = max(1, min(to_s - from_s, _DAY_S))
        at_once = max(1, min(SERIES_A_PAGE, _SERIES_SECONDS // longest_s))
        n_named = 0
        for start in range(0, len(series_ids), at_once):
            some = series_ids[start : start + at_once]
            for day_s in range(from_s // _DAY_S * _DAY_S, to_s, _DAY_S):
                part = some, max(from_s, day_s), min(to_s, day_s + _DAY_S)
                for verdict in self._compare(part, most - n_named):
                    n_named += len(verdict.differences)
                    yield verdict

    def again(self, suspects: Sequence[Difference]) -> list[Difference]:
        """Return the suspects that differ still, as they are now."""
        by_day: dict[int, list[Difference]] = {}
        for one in suspects:
            by_day.setdefault(one.start_s // _DAY_S, []).append(one)
        places = {(one.width_s, one.series_id, one.start_s) for one in suspects}
        left = []
        for ones in by_day.values():
            ids = sorted({one.series_id for one in ones})
            from_s = min(one.start_s for one in ones)
            to_s = max(one.start_s + one.width_s for one in ones)
            for verdict in self.compare(ids, from_s, to_s):
                left += [
                    one
                    for one in verdict.differences
                    if (one.width_s, one.series_id, one.start_s) in places
                ]
        return left

    def find(self, logged: Samples) -> Found:
        """Look logged samples up; they are of one day and of few series."""
        ids = np.unique(logged.series_ids).tolist()
        from_ms, to_ms = int(logged.times_ms.min()), int(logged.times_ms.max()) + 1
        question: dict[str, Any] = {"series_ids": ids, "from_ms": from_ms, "to_ms": to_ms}
        pages = []
        while True:
            body = self._post("/samples", question)
            page = pa.ipc.open_stream(body).read_all()
            if not page.num_rows:
                break
            pages.append(page)
            last = page.slice(page.num_rows - 1).to_pylist()[0]
            question |= {
                "series_ids": [one for one in ids if one >= last["series_id"]],
                "after_series": last["series_id"],
                "after_ms": last["time_ms"],
            }
        if not pages:
            return find(logged, *_NO_ROWS)
        rows = pa.concat_tables(pages)
        return find(logged, *(rows[name].to_numpy() for name in ("series_id", "time_ms", "bits")))

    def _compare(self, part: _Part, most: int) -> Iterator[Verdict]:
        series_ids, from_s, to_s = part
        question = {"series_ids": list(series_ids), "from_s": from_s, "to_s": to_s}
        halves = _halves(part)
        try:
            verdict = self._ask("", question, Verdict)
        except TooMuch:
            if not halves:
                raise
        else:
            if not halves or verdict.n_unnamed <= 0 or len(verdict.differences) >= most:
                yield verdict
                return
        for half in halves:
            for verdict in self._compare(half, most):
                most -= len(verdict.differences)
                yield verdict

    def _ask(self, path: str, question: dict[str, Any], kind: type[_Kind]) -> _Kind:
        return msgspec.json.decode(self._post(path, question), type=kind)

    def _post(self, path: str, question: dict[str, Any]) -> bytes:
        tenant = {"tenant": self._tenant} if self._tenant else {}
        return self._service.post(PATH + path, msgspec.json.encode(question | tenant))


_NO_ROWS = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64))


def _halves(part: _Part) -> list[_Part]:
    """Return a part in two, by series or by whole hours; nothing where it cannot be divided."""
    series_ids, from_s, to_s = part
    if len(series_ids) > 1:
        half = len(series_ids) // 2
        return [(series_ids[:half], from_s, to_s), (series_ids[half:], from_s, to_s)]
    middle_s = (from_s + to_s) // 2 // _HOUR_S * _HOUR_S
    if middle_s <= from_s:
        return []
    return [(series_ids, from_s, middle_s), (series_ids, middle_s, to_s)]
